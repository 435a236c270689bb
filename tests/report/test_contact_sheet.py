"""Every picture is on the sheet, enlarged by whole pixels, pairs under each other."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from apdm.benchmark.record import PICTURE_SETS, SubjectResult
from apdm.report import write_contact_sheet, write_report
from apdm.report.contact_sheet import CELL, COLUMNS, GAP, LABELS, MARGIN

MakeSubject = Callable[..., SubjectResult]
MakeRun = Callable[..., Path]


def cells(sheet: np.ndarray, colour: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Upper left corners (x, y) of the areas of exactly this colour, each checked to be a full cell."""
    rows, columns = np.nonzero((sheet == colour).all(-1))
    assert len(rows) % CELL**2 == 0
    corners = []
    for y in np.unique(rows)[::CELL]:
        corners.append((int(columns[rows == y].min()), int(y)))
    return corners


def test_every_picture_is_on_the_sheet_and_seeds_share_a_column(make_run: MakeRun) -> None:
    path = write_contact_sheet(make_run(count=3))
    sheet = np.asarray(Image.open(path).convert("RGB"))
    places = {(n, s): cells(sheet, (n, s, 0)) for n in range(3) for s in range(len(PICTURE_SETS))}
    assert path.name == "contact-sheet.png"
    assert all(len(found) == 1 for found in places.values())
    for number in range(3):
        columns = {places[number, s][0][0] for s in range(len(PICTURE_SETS))}
        assert len(columns) == 1
    attacked, control = PICTURE_SETS.index("attacked_protected"), PICTURE_SETS.index("attacked_unprotected")
    assert places[0, attacked][0][1] - places[0, control][0][1] == CELL + GAP
    assert places[1, 0][0][0] - places[0, 0][0][0] == CELL + GAP


def test_more_than_a_row_holds_goes_below_with_its_pair(make_run: MakeRun) -> None:
    folder = make_run(count=COLUMNS + 1)
    for path in (folder / "pictures" / "rex" / "photos").glob("*.png"):
        if path.stem.endswith(str(COLUMNS)):
            path.unlink()
    sheet = Image.open(write_contact_sheet(folder)).convert("RGB")
    attacked, control = PICTURE_SETS.index("attacked_protected"), PICTURE_SETS.index("attacked_unprotected")

    def place(number: int, picture_set: int) -> tuple[int, int]:
        return cells(np.asarray(sheet), (number, picture_set, 0))[0]

    assert sheet.width == 2 * MARGIN + LABELS + COLUMNS * (CELL + GAP)
    assert place(COLUMNS, control)[0] == place(0, control)[0]
    # The next band begins right below the last row: its photos' row would be empty and is left out.
    assert place(COLUMNS, control)[1] == place(0, attacked)[1] + CELL + GAP
    assert place(COLUMNS, attacked)[1] == place(COLUMNS, control)[1] + CELL + GAP


def test_subjects_stand_under_each_other(make_run: MakeRun, make_subject: MakeSubject) -> None:
    one = Image.open(write_contact_sheet(make_run(make_subject("a")))).size
    two = make_run(make_subject("b"), make_subject("c"))
    sheet = Image.open(write_contact_sheet(two))
    assert sheet.width == one[0]
    assert sheet.height > 1.8 * one[1]
    assert len(cells(np.asarray(sheet.convert("RGB")), (1, 0, 0))) == 2


def test_large_pictures_are_shrunk_and_others_keep_their_shape(make_run: MakeRun) -> None:
    folder = make_run(count=1)
    photos = folder / "pictures" / "rex" / "photos"
    Image.new("RGB", (512, 256), (1, 2, 3)).save(photos / "00.png")
    sheet = np.asarray(Image.open(write_contact_sheet(folder)).convert("RGB"))
    rows, columns = np.nonzero((sheet == (1, 2, 3)).all(-1))
    assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == (CELL, CELL // 2)


def test_small_pictures_are_enlarged_without_new_colours(make_run: MakeRun) -> None:
    folder = make_run(count=1)
    chess = np.zeros((64, 64, 3), dtype=np.uint8)
    chess[::2, ::2], chess[1::2, 1::2] = (250, 0, 250), (0, 250, 250)
    Image.fromarray(chess).save(folder / "pictures" / "rex" / "photos" / "00.png")
    sheet = np.asarray(Image.open(write_contact_sheet(folder)).convert("RGB"))
    rows, columns = np.nonzero((sheet == (250, 0, 250)).all(-1))
    shown = sheet[rows.min() : rows.min() + CELL, columns.min() : columns.min() + CELL]
    assert np.array_equal(shown, chess.repeat(2, axis=0).repeat(2, axis=1))


def test_words_have_their_letters_and_stay_on_the_sheet(
    make_run: MakeRun, make_subject: MakeSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[tuple[float, float], str, ImageFont.FreeTypeFont]] = []
    draw = ImageDraw.ImageDraw.text

    def text(self: ImageDraw.ImageDraw, xy: tuple[float, float], words: str, **style: Any) -> None:
        written.append((xy, words, style["font"]))
        draw(self, xy, words, **style)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    undefined = (math.nan, -math.inf, math.inf)
    changes = {
        "a": {},
        "b": {"rate": (-0.1, -0.2, 0.1)},
        "c": {"rate": undefined},
        "d": {"strength": undefined},
    }
    sheet = write_contact_sheet(make_run(*(make_subject(name, **change) for name, change in changes.items())))
    width = Image.open(sheet).width
    assert len(written) > 4 * 12
    for (x, _), words, font in written:
        missing = bytes(font.getmask("\ue000"))
        assert [letter for letter in words if letter != "\n" and bytes(font.getmask(letter)) == missing] == []
        assert x + max(font.getlength(line) for line in words.splitlines()) <= width


@pytest.mark.parametrize(
    ("noun", "toy", "asked", "plain"),
    [
        ("person", False, False, False),
        ("person", False, True, True),
        ("person", True, False, True),
        ("dog", False, False, True),
    ],
)
def test_people_are_blurred_unless_toys_or_asked_for(
    make_run: MakeRun, make_subject: MakeSubject, noun: str, toy: bool, asked: bool, plain: bool
) -> None:
    folder = make_run(make_subject(class_noun=noun), count=1, toy=toy)
    chess = np.zeros((64, 64, 3), dtype=np.uint8)
    chess[::2, ::2], chess[1::2, 1::2] = (250, 0, 250), (0, 250, 250)
    for picture in (folder / "pictures" / "rex").rglob("*.png"):
        Image.fromarray(chess).save(picture)
    sheet = np.asarray(Image.open(write_contact_sheet(folder, asked)).convert("RGB"))
    assert (sheet == (250, 0, 250)).all(-1).any() == plain
    page = write_report(folder, asked).read_text()
    assert ("People are blurred here" in page) != plain
    shown = Image.open(BytesIO(base64.b64decode(re.findall(r"base64,([^\"]+)", page)[0])))
    assert (np.ptp(np.asarray(shown.convert("RGB")).astype(int)) > 200) == plain
