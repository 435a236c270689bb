"""Mirrored left to right (APDM's table 10)."""

from __future__ import annotations

from dataclasses import dataclass

from apdm.backbones.base import Backbone
from apdm.purify.base import Purifier
from apdm.types import Pixels
from apdm.watch import Watch, silent


@dataclass(frozen=True)
class Flip(Purifier):
    """Every picture; how often the paper flips is not stated."""

    def __call__(
        self, pixels: Pixels, seed: int = 0, backbone: Backbone | None = None, watch: Watch = silent
    ) -> Pixels:
        return pixels.flip(3)
