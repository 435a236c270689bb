"""Total-variation denoising (Rudin, Osher & Fatemi 1992), solved by Chambolle's iteration (2004)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from apdm.backbones.base import Backbone
from apdm.errors import at_least, positive
from apdm.pixels import from_unit, to_unit
from apdm.purify.base import Purifier
from apdm.types import Pixels
from apdm.watch import Watch, silent

RATE = 0.25  # tau; Chambolle proves convergence up to 1/8 and reports it in practice up to 1/4


@dataclass(frozen=True)
class TotalVariation(Purifier):
    """argmin over u of |u - picture|^2 / (2 weight) + TV(u), each channel by itself, values in [0, 1].

    It stands for "TV minimisation" in MetaCloak's evaluation, whose settings are not stated."""

    weight: float = 0.1
    """More is smoother [our choice; scikit-image's default, whose weight means the same]."""
    iterations: int = 200
    """Of the dual [our choice: as many as scikit-image takes at most]."""

    def __post_init__(self) -> None:
        positive(self, "weight")
        at_least(self, iterations=1)

    def __call__(
        self, pixels: Pixels, seed: int = 0, backbone: Backbone | None = None, watch: Watch = silent
    ) -> Pixels:
        noisy = to_unit(pixels)
        dual = torch.zeros(2, *noisy.shape, device=pixels.device)
        for _ in range(self.iterations):
            slope = gradient(divergence(dual) - noisy / self.weight)
            steepness = slope.square().sum(0, keepdim=True).sqrt()
            dual = (dual + RATE * slope) / (1 + RATE * steepness)
        return from_unit(noisy - self.weight * divergence(dual)).clamp(-1, 1)


def gradient(u: Tensor) -> Tensor:
    """Forward differences down and across [2 b c h w], 0 at the last row and column."""
    slope = torch.zeros(2, *u.shape, device=u.device)
    slope[0, ..., :-1, :] = u.diff(dim=-2)
    slope[1, ..., :-1] = u.diff(dim=-1)
    return slope


def divergence(p: Tensor) -> Tensor:
    """Minus the transpose of `gradient`: backward differences."""
    down, across = p[0].clone(), p[1].clone()
    down[..., -1, :] = 0
    across[..., -1] = 0
    down[..., 1:, :] -= p[0][..., :-1, :]
    across[..., 1:] -= p[1][..., :-1]
    return down + across
