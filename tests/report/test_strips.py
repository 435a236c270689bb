"""Sheets of strips: whose pictures stand where, and that subjects stand under each other."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from apdm.report.contact_sheet import CELL, GAP, MARGIN, TEXT_SIZE
from apdm.report.strips import HEADING, Shown, Strip, write_strips


def plain(*colour: int) -> Image.Image:
    return Image.new("RGB", (64, 64), colour)


def test_subjects_stand_under_each_other_and_strips_side_by_side(tmp_path: Path) -> None:
    first = Shown(
        "dog", [Strip("photos", [plain(10, 0, 0)]), Strip("drawn", [plain(0, 20, 0), plain(0, 30, 0)])]
    )
    second = Shown("cat", [Strip("photos", [plain(0, 0, 40)])])
    path = write_strips([first, second], tmp_path / "new" / "sheet.png")
    step, top = CELL + GAP, MARGIN + HEADING + TEXT_SIZE + CELL // 2
    below = top + HEADING + TEXT_SIZE + 2 * step + MARGIN
    with Image.open(path) as sheet:
        seen = [
            sheet.getpixel((MARGIN + column * step + CELL // 2, y))
            for column, y in ((0, top), (1, top), (1, top + step), (0, below))
        ]
    assert seen == [(10, 0, 0), (0, 20, 0), (0, 30, 0), (0, 0, 40)]
