"""`apdm toybox` as a person types it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

RENDER = ("render", "--class_noun", "dog", "--seed", "500001")


def test_render_is_the_same_for_everybody(run: Callable[..., None], photos: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    run("toybox", "render", "--class-noun", "dog", "--seed", "500001", "--views", "2", "--output-dir", again)
    pictures = sorted(again.glob("*.png"))
    assert len(pictures) == 2
    for picture in pictures:
        assert picture.read_bytes() == (photos / picture.name).read_bytes()
        assert (photos / picture.name).with_suffix(".txt").read_text().startswith("a photo of a")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*RENDER, "--views", "0", "--output_dir", "OUT"), "views is 0: give 1"),
        ((*RENDER, "--output_dir", __file__), __file__),
        (("sample", "--count", "0", "--output_dir", "OUT"), "count is 0: give 1"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    arguments: tuple[str, ...], said: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    given = [str(tmp_path / "out") if argument == "OUT" else argument for argument in arguments]
    assert said in refused("toybox", *given)


def test_two_toys_are_not_mixed_in_a_folder(run: Callable[..., None], tmp_path: Path, refused) -> None:
    for verb in (RENDER, ("sample", "--count", "1")):
        out = tmp_path / verb[0]
        run("toybox", *verb, "--output_dir", out)
        before = {place: place.read_bytes() for place in out.iterdir()}
        again = ("toybox", *(word.replace("500001", "500002") for word in verb), "--output_dir", out)
        assert "is not empty: give a new one" in refused(*again)
        assert before == {place: place.read_bytes() for place in out.iterdir()}
