"""What the tests of commands share: a model and photos as a person has them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from apdm.cli.main import main

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six views of a toy dog."""
    folder = tmp_path / "dog"
    render = ["toybox", "render", "--class_noun", "dog", "--seed", "500001", "--views", "6"]
    main([*render, "--output_dir", str(folder)])
    return folder


@pytest.fixture
def model(tiny: StableDiffusion, tmp_path: Path) -> Path:
    """The tiny model's folder."""
    tiny.save(tmp_path / "model")
    return tmp_path / "model"
