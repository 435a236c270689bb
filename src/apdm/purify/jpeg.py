"""JPEG compression (Anti-DreamBooth, MetaCloak's evaluation)."""

from __future__ import annotations

from dataclasses import dataclass

from apdm.backbones.base import Backbone
from apdm.errors import InputError
from apdm.pixels import jpeg
from apdm.purify.base import Purifier
from apdm.types import Pixels
from apdm.watch import Watch, silent


@dataclass(frozen=True)
class Jpeg(Purifier):
    """Written as a JPEG and read again."""

    quality: int = 75
    """1 to 95; 90, 75 and 50 are usual [MetaCloak's evaluation: 75]."""

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 95:
            raise InputError(f"quality is {self.quality}", fix="give 1 to 95")

    def __call__(
        self, pixels: Pixels, seed: int = 0, backbone: Backbone | None = None, watch: Watch = silent
    ) -> Pixels:
        return jpeg(pixels, self.quality)
