"""Batches of clean latents, with the random changes of pictures that training scripts make."""

from __future__ import annotations

import torch

from apdm.backbones.base import Backbone, EncodedImages
from apdm.pixels import resize
from apdm.types import Latents, Pixels


def draw_latents(
    backbone: Backbone,
    images: EncodedImages,
    count: int,
    generator: torch.Generator,
    *,
    flip: bool = False,
    crop: float = 1.0,
) -> Latents:
    """`count` draws of `images`, from their moments where the pictures stay as they are.

    `flip`: mirrored with probability 1/2; `crop`: least share of the side that a random crop keeps.
    """
    rows = images.choose(count, generator)
    if not flip and crop == 1:
        return images.moments.sample(rows, generator)
    assert images.pixels is not None  # encoded by a backbone
    pictures = images.pixels[rows].split(1)
    if crop < 1:
        pictures = [random_crop(picture, crop, generator) for picture in pictures]
    if flip:
        pictures = [random_flip(picture, generator) for picture in pictures]
    with torch.no_grad():
        moments = backbone.encode_images(torch.cat(list(pictures)))
    return moments.sample(torch.arange(count), generator)


def random_flip(picture: Pixels, generator: torch.Generator) -> Pixels:
    """[1 3 h w], mirrored left to right with probability 1/2."""
    return picture.flip(3) if chance(0.5, generator) else picture


def random_crop(picture: Pixels, least: float, generator: torch.Generator) -> Pixels:
    """A square of [1 3 s s] with between `least` of the side and all of it, brought back to s."""
    side = picture.shape[3]
    kept = whole(max(1, round(least * side)), side, generator)
    return resize(cut(picture, kept, generator), side)


def cut(picture: Pixels, side: int, generator: torch.Generator) -> Pixels:
    """A square of `side` pixels out of [1 3 h w], anywhere."""
    top = whole(0, picture.shape[2] - side, generator)
    left = whole(0, picture.shape[3] - side, generator)
    return picture[:, :, top : top + side, left : left + side]


def chance(probability: float, generator: torch.Generator) -> bool:
    return torch.rand((), generator=generator).item() < probability


def whole(low: int, high: int, generator: torch.Generator) -> int:
    """Uniform among low, low + 1, ..., high."""
    return int(torch.randint(low, high + 1, (), generator=generator))
