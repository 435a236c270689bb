"""The sheet of a run: all pictures of all subjects, glued into one PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from apdm.benchmark.record import SubjectResult, read_result
from apdm.report.numbers import MINUS, THIN_SPACE
from apdm.report.pictures import Column, Group, find_pictures, groups, is_person, numbers, read_picture, veil
from apdm.report.verdict import attacks_named, verdict

SHEET_FILE = "contact-sheet.png"

COLUMNS = 16  # pictures side by side, so that a sheet can be looked at whole; more go below [our choice]

# Pixels. A picture set is a row, so the pictures of one prompt and seed stand in one column.
CELL, GAP, MARGIN = 128, 6, 48
LABELS = 290  # width of the rows' names
HEADING = 62  # height of a group's heading
NARROWEST = 1100  # a sheet, so that the verdict has room
TITLE_SIZE, TEXT_SIZE = 48, 30
LINE = 1.4  # distance of lines, in text sizes

PAPER, INK, SOFT = "#fbfaf7", "#1f2328", "#646a73"
TONES = {"real": INK, "unprotected": "#c2470d", "protected": "#0b7285"}  # as in page.css
PLAIN = str.maketrans({THIN_SPACE: " ", MINUS: "-", "∞": "infinity"})  # Pillow's own font lacks these

Pictures = Mapping[str, Mapping[str, Path]]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def write_contact_sheet(folder: Path, show_people: bool = False) -> Path:
    """Writes `contact-sheet.png` into `folder` from the run kept there, one block under the other for
    the subjects.

    People who are no toys are blurred unless `show_people`. Raises `InputError` where the record or a
    picture cannot be read.
    """
    result = read_result(folder)
    attacks, note = attacks_named(result.attacks), "Toy figure. " if result.toy else ""
    shown = result.toy or show_people
    blocks = [
        _block(
            subject,
            note + verdict(subject, attacks).sentence,
            find_pictures(folder, subject.name),
            veiled=is_person(subject.class_noun) and not shown,
        )
        for subject in result.subjects
    ]
    height = MARGIN + sum(block.height + MARGIN for block in blocks)
    sheet = Image.new("RGB", (max(block.width for block in blocks), height), PAPER)
    top = MARGIN
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height + MARGIN
    path = folder / SHEET_FILE
    sheet.save(path, optimize=True)
    return path


def _block(subject: SubjectResult, sentence: str, pictures: Pictures, veiled: bool) -> Image.Image:
    """One subject: its name, the verdict, and the groups of rows under each other."""
    shown = [group for group in groups(subject.class_noun) if numbers(pictures, group)]
    columns = min(COLUMNS, max(len(numbers(pictures, group)) for group in shown))
    width = max(NARROWEST, 2 * MARGIN + LABELS + columns * (CELL + GAP))
    lines = lines_of(sentence.translate(PLAIN), ImageFont.load_default(TEXT_SIZE), width - 2 * MARGIN)
    top = round(LINE * (TITLE_SIZE + len(lines) * TEXT_SIZE))
    block = Image.new("RGB", (width, top + sum(_height(group, pictures) for group in shown)), PAPER)
    pen = ImageDraw.Draw(block)
    pen.text((MARGIN, 0), subject.name, fill=INK, font=ImageFont.load_default(TITLE_SIZE))
    for number, line in enumerate(lines):
        below = round(LINE * (TITLE_SIZE + number * TEXT_SIZE))
        pen.text((MARGIN, below), line, fill=SOFT, font=ImageFont.load_default(TEXT_SIZE))
    for group in shown:
        _draw_group(block, group, pictures, top, veiled)
        top += _height(group, pictures)
    return block


def _rows(group: Group, pictures: Pictures) -> list[tuple[Column, list[str]]]:
    """The group's rows, each with its pictures' numbers: all sets for the first `COLUMNS` numbers, then
    all for the next. A set without a picture there has no row."""
    every = numbers(pictures, group)
    bands = [every[start : start + COLUMNS] for start in range(0, len(every), COLUMNS)]
    rows = [(picture_set, band) for band in bands for picture_set in group.columns]
    return [(shown, band) for shown, band in rows if pictures[shown.picture_set].keys() & set(band)]


def _height(group: Group, pictures: Pictures) -> int:
    return HEADING + len(_rows(group, pictures)) * (CELL + GAP)


def _draw_group(block: Image.Image, group: Group, pictures: Pictures, top: int, veiled: bool) -> None:
    pen, font = ImageDraw.Draw(block), ImageFont.load_default(TEXT_SIZE)
    pen.text((MARGIN, top + HEADING - 8), group.heading, fill=INK, font=font, anchor="ls")
    left = MARGIN + LABELS
    for row, (picture_set, band) in enumerate(_rows(group, pictures)):
        y, tone = top + HEADING + row * (CELL + GAP), TONES[picture_set.tone]
        label = picture_set.heading.replace(", ", ",\n")
        pen.text((MARGIN, y + CELL // 2), label, fill=tone, font=font, anchor="lm")
        pen.rectangle((left - 12, y, left - GAP - 1, y + CELL - 1), fill=tone)
        for place, number in enumerate(band):
            path = pictures[picture_set.picture_set].get(number)
            if path:
                picture = read_picture(path)
                paste(block, veil(picture) if veiled else picture, left + place * (CELL + GAP), y)


def lines_of(text: str, font: Font, width: int) -> list[str]:
    """`text` broken into lines of at most `width` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def paste(block: Image.Image, picture: Image.Image, x: int, y: int) -> None:
    """Puts `picture` into the middle of the cell at (x, y): small ones enlarged by whole pixels."""
    factor = CELL // max(picture.size)
    if factor:
        larger = (picture.width * factor, picture.height * factor)
        picture = picture.resize(larger, Image.Resampling.NEAREST)
    else:
        picture.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    block.paste(picture, (x + (CELL - picture.width) // 2, y + (CELL - picture.height) // 2))
