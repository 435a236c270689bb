"""Made smaller and large again."""

from __future__ import annotations

from dataclasses import dataclass

from apdm.backbones.base import Backbone
from apdm.errors import InputError, at_least
from apdm.pixels import resize_to
from apdm.purify.base import Purifier
from apdm.types import Pixels
from apdm.watch import Watch, silent


@dataclass(frozen=True)
class Resize(Purifier):
    """Both ways bicubic, with antialiasing on the way down."""

    factor: int = 2
    """What the sides are divided by [our choice]."""

    def __post_init__(self) -> None:
        at_least(self, factor=2)

    def __call__(
        self, pixels: Pixels, seed: int = 0, backbone: Backbone | None = None, watch: Watch = silent
    ) -> Pixels:
        height, width = pixels.shape[2:]
        if min(height, width) < self.factor:
            raise InputError(f"factor is {self.factor}", fix="give less than the picture's side")
        return resize_to(resize_to(pixels, height // self.factor, width // self.factor), height, width)
