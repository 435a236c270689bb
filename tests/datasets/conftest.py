from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Album = Callable[..., list[Path]]


@pytest.fixture
def album() -> Album:
    """Writes `count` different pictures into a folder, 0.png, 1.png, ..."""

    def make(folder: Path, count: int, side: int = 64, first: int = 0) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{number}.png" for number in range(first, first + count)]
        for number, path in enumerate(paths, first):
            Image.fromarray(np.full((side, side + 8, 3), number, dtype=np.uint8)).save(path)
        return paths

    return make
