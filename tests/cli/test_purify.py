"""`apdm purify` as a person types it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from apdm.cli import purify
from apdm.cli.main import main
from apdm.pixels import load
from apdm.purify.flip import Flip
from apdm.seeding import derive


def run(*arguments: str | Path) -> None:
    main([str(argument) for argument in arguments])


def test_pictures_keep_their_size_unless_told_and_gridpure_takes_the_models(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    few = ("--method", "gridpure", "--iterations", "1", "--time", "1", "--model", model)
    for name, arguments, side in (
        ("own", ("--method", "flip"), 64),
        ("told", ("--method", "flip", "--resolution", "32"), 32),
        ("models", few, 16),
    ):
        run("purify", photos, *arguments, "--output_dir", tmp_path / name)
        paths = sorted((tmp_path / name).glob("*.png"))
        assert [path.name for path in paths] == [f"purified_{number:05d}.png" for number in range(6)]
        assert Image.open(paths[0]).size == (side, side)
    mirrored = load(sorted((tmp_path / "own").glob("*.png")), 64)
    assert torch.equal(mirrored, load(sorted(photos.glob("*.png")), 64).flip(3))


def test_every_picture_has_a_seed_of_its_own(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = []
    monkeypatch.setattr(Flip, "__call__", lambda self, pixels, seed, model: (seeds.append(seed), pixels)[1])
    run("purify", photos, "--method", "flip", "--seed", "3", "--output_dir", tmp_path / "made")
    assert seeds == [derive(3, "picture", number) for number in range(6)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--method", "gridpur"), "did you mean 'gridpure'?"),
        (("--method", "gridpure"), "gridpure works with a model: give --model"),
        (("--model", "toybox"), "jpeg works without a model: leave out --model"),
        (("--quality", "0"), "quality is 0"),
    ],
)
def test_what_cannot_be_used_is_one_line_before_anything_heavy(
    arguments: tuple[str, ...],
    said: str,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(purify, "load", None)
    with pytest.raises(SystemExit) as stop:
        run("purify", photos, *arguments, "--output_dir", tmp_path / "made")
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "made").exists()
