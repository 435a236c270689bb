"""The pictures behind a table side by side: the photos and what each row's attack made, nothing selected."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from apdm.benchmark.tables.outcome import Listing, read_outcome
from apdm.errors import InputError
from apdm.report.pictures import is_person, read_picture, veil
from apdm.report.strips import Shown, Strip, write_strips


def write_sheet(listing: Listing, bench: Path, folder: Path) -> Path | None:
    """`folder`/NAME-SIZE.png: for each subject its photos, and beside them all pictures of the first seed of
    each row that the scenario names for it; those in one line have the same prompt and seed. Subjects with an
    unfinished cell are left out; None if none is left or no row is named."""
    subjects = _subjects(listing, bench)
    return write_strips(subjects, folder / f"{listing.name}-{listing.size}.png") if subjects else None


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
            places = {"photos": done[0].photos}
            places |= {row.label: outcome.pictures for row, outcome in zip(rows, done, strict=True)}
            veiled = listing.size != "toy" and is_person(noun)
            strips = [Strip(label, _read(bench / lies, veiled)) for label, lies in places.items()]
            found.append(Shown(str(done[0].cell["subject"]), strips))
    return found


def _read(folder: Path, veiled: bool) -> list[Image.Image]:
    """All pictures of a folder; people who are no toys are blurred."""
    files = sorted(folder.glob("*.png"))
    if not files:
        raise InputError(f"'{folder}' has no pictures", fix="run the scenario again")
    pictures = map(read_picture, files)
    return [veil(picture) for picture in pictures] if veiled else list(pictures)
