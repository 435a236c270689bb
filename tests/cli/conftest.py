"""What the tests of commands share: how they are typed, and a model and photos as a person has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from apdm.cli.main import main

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion


@pytest.fixture(scope="session")
def run() -> Callable[..., None]:
    """Runs `apdm` with these arguments."""
    return lambda *arguments: main([str(argument) for argument in arguments])


@pytest.fixture
def failed(run: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """The same where it fails: the lines on stderr, bars included; asserts that the exit code is 2."""

    def lines(*arguments: str | Path) -> list[str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            run(*arguments)
        assert stop.value.code == 2
        return capsys.readouterr().err.splitlines()

    return lines


@pytest.fixture
def refused(failed: Callable[..., list[str]]) -> Callable[..., str]:
    """The same where stderr has one line, which is asserted too."""

    def line(*arguments: str | Path) -> str:
        (said,) = failed(*arguments)
        return said

    return line


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
