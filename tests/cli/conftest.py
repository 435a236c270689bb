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


@pytest.fixture(scope="module")
def job(tiny: StableDiffusion, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A protection of the tiny model with all that a checkpoint must hold: an attack that three look-aheads
    share, an anchor, and a checkpoint after every second of seven updates."""
    folder = tmp_path_factory.mktemp("job")
    tiny.save(folder / "model")
    render = ("toybox", "render", "--class_noun", "dog", "--seed", "500001", "--views", "3")
    main([*render, "--output_dir", str(folder / "dog")])
    settings = {
        "subject": folder / "dog",
        "class_noun": "dog",
        "num_class_images": 2,
        "num_inference_steps": 1,
        "outer_steps": 7,
        "inner_steps": 2,
        "restart_every": 3,
        "learning_rate": 1e-3,
        "simulated.learning_rate": 1e-3,
        "anchor_weight": 1.0,
        "checkpointing_steps": 2,
    }
    return ["protect", str(folder / "model"), *(f"--{name}={value}" for name, value in settings.items())]
