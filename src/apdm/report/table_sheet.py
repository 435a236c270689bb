"""The pictures behind a table side by side: the photos and what each row's attack made, nothing selected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from apdm.benchmark.outcome import Listing, read_outcome
from apdm.errors import InputError
from apdm.report.contact_sheet import CELL, GAP, INK, MARGIN, PAPER, TEXT_SIZE, lines_of, paste
from apdm.report.pictures import is_person, read_picture, veil

HEADING = 112  # pixels above the columns, for three lines


@dataclass(frozen=True)
class Strip:
    """One column of pictures under its name."""

    heading: str
    pictures: Sequence[Path]


@dataclass(frozen=True)
class Shown:
    """A subject with its columns; people who are no toys are blurred."""

    subject: str
    strips: Sequence[Strip]
    veiled: bool


def write_sheet(listing: Listing, bench: Path, folder: Path) -> Path | None:
    """`folder`/NAME-SIZE.png: for each subject its photos, and beside them all pictures of the first seed of
    each row that the scenario names for it; those in one line have the same prompt and seed. Subjects with an
    unfinished cell are left out; None if none is left or no row is named."""
    blocks = [_block(shown) for shown in _subjects(listing, bench)]
    if not blocks:
        return None
    size = max(it.width for it in blocks), sum(it.height + MARGIN for it in blocks) + MARGIN
    sheet, top = Image.new("RGB", size, PAPER), MARGIN
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height + MARGIN
    path = folder / f"{listing.name}-{listing.size}.png"
    folder.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)
    return path


def _subjects(listing: Listing, bench: Path) -> list[Shown]:
    """Of each subject its columns, the photos first."""
    rows = [next(row for row in listing.rows if row.label == label) for label in listing.sheet]
    found: list[Shown] = []
    for noun in rows[0].cells if rows else ():
        for place in range(len(rows[0].cells[noun])):
            outcomes = [read_outcome(bench, row.cells[noun][place][0]) for row in rows]
            done = [outcome for outcome in outcomes if outcome is not None]
            if len(done) < len(rows):
                continue
            strips = [Strip("photos", _files(bench / done[0].photos))]
            strips += [
                Strip(row.label, _files(bench / outcome.pictures))
                for row, outcome in zip(rows, done, strict=True)
            ]
            veiled = listing.size != "toy" and is_person(noun)
            found.append(Shown(str(done[0].cell["subject"]), strips, veiled))
    return found


def _files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.png"))
    if not files:
        raise InputError(f"'{folder}' has no pictures", fix="run the scenario again")
    return files


def _block(shown: Shown) -> Image.Image:
    strips = shown.strips
    tallest = max(len(strip.pictures) for strip in strips)
    block = Image.new(
        "RGB", (2 * MARGIN + len(strips) * (CELL + GAP), HEADING + TEXT_SIZE + tallest * (CELL + GAP)), PAPER
    )
    pen = ImageDraw.Draw(block)
    pen.text((MARGIN, 0), shown.subject, fill=INK, font=ImageFont.load_default(TEXT_SIZE))
    font = ImageFont.load_default(15)
    for number, strip in enumerate(strips):
        left = MARGIN + number * (CELL + GAP)
        lines = "\n".join(lines_of(strip.heading, font, CELL))
        pen.text((left, HEADING + TEXT_SIZE - GAP), lines, fill=INK, font=font, anchor="ld")
        for place, path in enumerate(strip.pictures):
            picture = veil(read_picture(path)) if shown.veiled else read_picture(path)
            paste(block, picture, left, HEADING + TEXT_SIZE + place * (CELL + GAP))
    return block
