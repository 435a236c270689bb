"""Purifiers: pictures in, pictures without a cloak out, as far as it goes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from apdm.backbones.base import Backbone
from apdm.types import Pixels
from apdm.watch import Watch, silent


class Purifier(ABC):
    """Settings of one answer to a cloak, which are called to give it. A frozen dataclass."""

    needs_model: ClassVar[bool] = False

    @abstractmethod
    def __call__(
        self, pixels: Pixels, seed: int = 0, backbone: Backbone | None = None, watch: Watch = silent
    ) -> Pixels:
        """`pixels`, purified: as many, of the same size, in [-1, 1]. Most need no seed and no model."""
