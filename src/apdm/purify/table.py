"""Purifiers by name."""

from __future__ import annotations

from apdm.purify.base import Purifier
from apdm.purify.flip import Flip
from apdm.purify.gaussian_blur import GaussianBlur
from apdm.purify.gridpure import GridPure
from apdm.purify.jpeg import Jpeg
from apdm.purify.resize import Resize
from apdm.purify.total_variation import TotalVariation

PURIFIERS: dict[str, type[Purifier]] = {
    "flip": Flip,
    "gaussian_blur": GaussianBlur,
    "jpeg": Jpeg,
    "resize": Resize,
    "total_variation": TotalVariation,
    "gridpure": GridPure,
}
