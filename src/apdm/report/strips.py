"""Columns of pictures side by side under their names, a block for each subject: what sheets are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from apdm.report.contact_sheet import CELL, GAP, INK, MARGIN, PAPER, TEXT_SIZE, lines_of, paste

HEADING = 112  # pixels above the columns, for three lines


@dataclass(frozen=True)
class Strip:
    """One column of pictures under its name."""

    heading: str
    pictures: Sequence[Image.Image]


@dataclass(frozen=True)
class Shown:
    """A subject with its columns; pictures in one line belong together."""

    subject: str
    strips: Sequence[Strip]


def write_strips(subjects: Sequence[Shown], path: Path) -> Path:
    """All subjects, one block under the other."""
    blocks = [_block(shown) for shown in subjects]
    size = max(it.width for it in blocks), sum(it.height + MARGIN for it in blocks) + MARGIN
    sheet, top = Image.new("RGB", size, PAPER), MARGIN
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height + MARGIN
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)
    return path


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
        for place, picture in enumerate(strip.pictures):
            paste(block, picture, left, HEADING + TEXT_SIZE + place * (CELL + GAP))
    return block
