"""Diffusion purification in a grid of crops (GrIDPure, Zhao et al. 2024, over DiffPure, Nie et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from apdm.backbones.base import Backbone, draw_noise
from apdm.errors import InputError, at_least
from apdm.pixels import quantised
from apdm.purify.base import Purifier
from apdm.schedules import discrete
from apdm.seeding import generator
from apdm.types import Pixels
from apdm.watch import Watch, silent

QUARTERS = 4  # a side has four; crops are two wide and begin at every one


@dataclass(frozen=True)
class GridPure(Purifier):
    """Again and again: nine overlapping crops of half the side and a montage of the four corners are
    each noised to a small time and denoised step by step; overlaps are averaged, and a part of the
    picture as it was is mixed in.

    Published for a pixel-space model. Of a latent model's family, noise and steps live in its latents:
    each crop is encoded to the posterior's mean, diffused without a prompt, as the family means it, and
    decoded, so the autoencoder's own losses purify, and cost detail, too. Times are the model's own, and
    the noise at time 10 is not the same in two models.
    """

    time: int = 10
    """t*, the steps that each crop is noised and denoised by [GrIDPure's code]."""
    iterations: int = 20
    """[GrIDPure's code]."""
    mixing: float = 0.1
    """gamma, the share of the picture as it was before the iteration [GrIDPure's code]."""

    needs_model = True

    def __post_init__(self) -> None:
        at_least(self, time=1, iterations=1)
        if not 0 <= self.mixing < 1:
            raise InputError(f"mixing is {self.mixing}", fix="give 0 or more, and less than 1")

    @torch.no_grad()
    def __call__(
        self, pixels: Pixels, seed: int = 0, backbone: Backbone | None = None, watch: Watch = silent
    ) -> Pixels:
        """Raises `InputError` without a model, or where the sides are unequal or not in quarters."""
        if backbone is None:
            raise InputError("purification by diffusion needs a model", fix="name one")
        height, width = pixels.shape[2:]
        if height != width or height % QUARTERS:
            raise InputError(
                f"the picture has sides {height} x {width}", fix="give squares of a multiple of 4"
            )
        if self.time > discrete(backbone.schedule).steps:
            raise InputError(f"time is {self.time}", fix="give no more than the model's steps")
        pictures = list(pixels.split(1))
        watch("purify", 0, len(pictures), {})
        for number, picture in enumerate(pictures):
            for iteration in range(self.iterations):
                draws = generator(seed, "purify", number, iteration)
                merged = merge(self.diffused(backbone, crops(picture), draws).to(picture))
                picture = quantised((1 - self.mixing) * merged + self.mixing * picture)
            pictures[number] = picture
            watch("purify", number + 1, len(pictures), {})
        return torch.cat(pictures)

    def diffused(self, backbone: Backbone, pieces: Pixels, draws: torch.Generator) -> Pixels:
        """Each piece noised to t* and brought back by ancestral steps (DiffPure)."""
        schedule = discrete(backbone.schedule)
        condition = backbone.unconditional().repeat(len(pieces))
        clean = backbone.encode_images(pieces).mean

        def times(t: int) -> Tensor:
            return torch.full((len(pieces),), t, device=clean.device)

        noisy = schedule.add_noise(clean, draw_noise(clean, draws), times(self.time - 1))
        for t in reversed(range(self.time)):
            predicted = backbone.predict(noisy, times(t), condition)
            mean, deviation = schedule.step_back(noisy, predicted, times(t))
            noisy = mean + deviation * draw_noise(mean, draws)
        made = backbone.decode_images(noisy)
        if made.shape != pieces.shape:
            side = pieces.shape[3]
            raise InputError(f"crops of {side} pixels are no whole latents", fix="resize the pictures")
        return made


def places(side: int) -> list[tuple[slice, slice]]:
    """Where the nine crops lie."""
    quarter = side // QUARTERS
    spans = [slice(start * quarter, (start + 2) * quarter) for start in range(3)]
    return [(rows, columns) for rows in spans for columns in spans]


def corners(side: int) -> list[tuple[slice, slice]]:
    """Where the four corners lie, in a picture or, with half its side, in the montage."""
    quarter = side // QUARTERS
    spans = (slice(0, quarter), slice(side - quarter, side))
    return [(rows, columns) for rows in spans for columns in spans]


def crops(picture: Pixels) -> Pixels:
    """[1 3 s s] -> [10 3 s/2 s/2]: nine crops and the montage of the corners, which crops see once only."""
    side = picture.shape[3]
    first, second, third, fourth = (picture[..., rows, columns] for rows, columns in corners(side))
    montage = torch.cat([torch.cat([first, second], 3), torch.cat([third, fourth], 3)], 2)
    return torch.cat([*(picture[..., rows, columns] for rows, columns in places(side)), montage])


def merge(pieces: Pixels) -> Pixels:
    """The mean of all pieces that show a pixel; the inverse of `crops` where they agree."""
    half = pieces.shape[3]
    side, quarter = 2 * half, half // 2
    total = torch.zeros(1, *pieces.shape[1:2], side, side, device=pieces.device)
    count = torch.zeros(1, 1, side, side, device=pieces.device)
    shown = [*zip(places(side), pieces, strict=False)]
    halves = (slice(0, quarter), slice(quarter, half))
    tiles = [pieces[-1][:, rows, columns] for rows in halves for columns in halves]
    for (rows, columns), piece in [*shown, *zip(corners(side), tiles, strict=True)]:
        total[..., rows, columns] += piece
        count[..., rows, columns] += 1
    return total / count
