"""Gaussian blur (APDM's table 10, Anti-DreamBooth)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import conv2d, pad

from apdm.backbones.base import Backbone
from apdm.errors import InputError
from apdm.purify.base import Purifier
from apdm.types import Pixels
from apdm.watch import Watch, silent


@dataclass(frozen=True)
class GaussianBlur(Purifier):
    """A window of `kernel_size` pixels a side, its deviation a sixth of (side - 1): three to each side.

    The papers state neither; pixels beyond the border are mirrored."""

    kernel_size: int = 5
    """3, 5 or 7 pixels [our choice]."""

    def __post_init__(self) -> None:
        if self.kernel_size < 3 or self.kernel_size % 2 == 0:
            raise InputError(f"kernel_size is {self.kernel_size}", fix="give 3, 5, 7 or a larger odd number")

    def __call__(
        self, pixels: Pixels, seed: int = 0, backbone: Backbone | None = None, watch: Watch = silent
    ) -> Pixels:
        reach = self.kernel_size // 2
        if reach >= min(pixels.shape[2:]):
            raise InputError(f"kernel_size is {self.kernel_size}", fix="give less than the picture's side")
        places = torch.arange(-reach, reach + 1, device=pixels.device)
        weights = torch.exp(-((places / ((self.kernel_size - 1) / 6)) ** 2) / 2)
        window = (weights / weights.sum()).expand(3, 1, 1, -1)
        padded = pad(pixels, (reach,) * 4, mode="reflect")
        across = conv2d(padded, window, groups=3)
        return conv2d(across, window.transpose(2, 3), groups=3).clamp(-1, 1)
