"""The sheet of a table: whose pictures stand where."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from apdm.errors import InputError
from apdm.report.contact_sheet import CELL, GAP, MARGIN, TEXT_SIZE
from apdm.report.strips import HEADING
from apdm.report.table_sheet import write_sheet

COLOURS = {"photos/rex": (10, 0, 0), "attack/rex-0": (0, 20, 0), "attack/rox-0": (0, 0, 30)}


@pytest.fixture
def bench(tmp_path: Path, make_outcome) -> Path:
    for digest in ("rex-0", "rox-0"):
        make_outcome(digest, [0.5], folder=tmp_path)
    for name, colour in COLOURS.items():
        folder = tmp_path / "works" / name
        folder.mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (64, 64), colour).save(folder / f"picture_{number:05d}.png")
    return tmp_path


ROWS = (
    ("attack", "control", {"dog": (("rex-0", "rex-1"),)}, {}),
    ("not shown", "defence", {"dog": (("rex-2",),)}, {}),
    ("cloak", "defence", {"dog": (("rox-0", "rox-1"),)}, {}),
)


def test_photos_then_the_rows_in_the_order_asked_for(bench: Path, make_listing, tmp_path: Path) -> None:
    path = write_sheet(make_listing(*ROWS, sheet=("cloak", "attack")), bench, tmp_path / "tables")
    assert path == tmp_path / "tables" / "small-toy.png"
    with Image.open(path) as sheet:
        top = MARGIN + HEADING + TEXT_SIZE
        for line in range(2):
            middle = top + line * (CELL + GAP) + CELL // 2
            seen = [sheet.getpixel((MARGIN + n * (CELL + GAP) + CELL // 2, middle)) for n in range(3)]
            assert seen == [COLOURS["photos/rex"], COLOURS["attack/rox-0"], COLOURS["attack/rex-0"]]


def test_without_rows_or_finished_cells_there_is_none(bench: Path, make_listing, tmp_path: Path) -> None:
    assert write_sheet(make_listing(*ROWS), bench, tmp_path / "tables") is None
    assert write_sheet(make_listing(*ROWS, sheet=("not shown",)), bench, tmp_path / "tables") is None
    assert not (tmp_path / "tables").exists()


def test_lost_pictures_are_named(bench: Path, make_listing, tmp_path: Path) -> None:
    for picture in (bench / "works" / "attack" / "rox-0").iterdir():
        picture.unlink()
    with pytest.raises(InputError, match="rox-0' has no pictures"):
        write_sheet(make_listing(*ROWS, sheet=("cloak",)), bench, tmp_path / "tables")


@pytest.mark.parametrize(
    ("size", "noun", "plain"), [("real", "person", False), ("real", "dog", True), ("toy", "person", True)]
)
def test_people_are_blurred_at_real_size(
    bench: Path, make_listing, tmp_path: Path, size: str, noun: str, plain: bool
) -> None:
    halves = Image.new("RGB", (64, 64), "white")
    halves.paste("black", (0, 0, 32, 64))
    for picture in (bench / "works").rglob("*.png"):
        halves.save(picture)
    rows = tuple((label, role, {noun: cells["dog"]}, published) for label, role, cells, published in ROWS)
    path = write_sheet(make_listing(*rows, sheet=("cloak",), size=size), bench, tmp_path / "tables")
    assert path is not None
    with Image.open(path) as sheet:
        top = MARGIN + HEADING + TEXT_SIZE
        edge = [sheet.getpixel((MARGIN + CELL // 2 + off, top + CELL // 2))[0] for off in (-4, 4)]
    assert (edge == [0, 255]) == plain
