"""What is kept of a finished cell, and which cells make a table. No torch.

A bench's folder holds `records/<digest>.json` (an `Outcome` each), `works/<kind>/<digest>/` (what cells
share: class images, cloaked photos, protected weights, pictures of attacks), `tables/<scenario>-<size>.json`
(a `Listing` each) and `log.jsonl`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from uuid import uuid4

from apdm.benchmark.reading import read_json
from apdm.benchmark.record import Provenance
from apdm.errors import InputError

EVALUATION = 1  # raised when what a figure means changes: cells of another version are other cells
RECORDS, LISTINGS = "records", "tables"
TO_OWNER = "similarity to the protected"  # of who is personalised on a model protected for another


@dataclass(frozen=True)
class Made:
    """A piece of shared work: `about` is all that it depends on, `seconds` what it alone took, `peak_memory`
    the bytes of its process at most so far (on a GPU those allocated there for it)."""

    kind: str
    method: str
    digest: str
    about: Mapping[str, object]
    seconds: float
    peak_memory: int | None
    provenance: Provenance


@dataclass(frozen=True)
class Measured:
    """One metric's value of each picture, None where it has none (a flat picture has no BRISQUE). In an exam
    TIFA's of each caption, GenEval's of each prompt, a ratio of times of each pair of batches; of FID and KID
    the first is of all pictures, and the others of random halves."""

    values: tuple[float | None, ...]
    extractor: str
    fingerprint: str


@dataclass(frozen=True)
class Outcome:
    """A finished cell. `control` is measured on the same attack with clean photos on the unprotected model.
    A model in an exam is not attacked: it has no control and no photos.

    `cell` is its whole configuration, seeds included; `works` says by digest what it was made from;
    `wall_time` is in seconds what that and the measurement took, for whichever cell it was made. `pictures`,
    `control_pictures` and `photos` (the attacker's, unaltered) are folders below the bench's.
    """

    evaluation: int
    digest: str
    cell: Mapping[str, object]
    measured: Mapping[str, Measured]
    control: Mapping[str, Measured]
    works: Mapping[str, str]
    wall_time: float
    peak_memory: int | None
    pictures: str
    control_pictures: str
    photos: str
    provenance: tuple[Provenance, ...]
    """Of the record and of all its works, each once."""


@dataclass(frozen=True)
class ListedModel:
    """A row's model for one subject: the cell of its exam, and of each sort of others who are personalised on
    it, for each of them, the cell of each seed."""

    exam: str
    others: Mapping[str, tuple[tuple[str, ...], ...]]


@dataclass(frozen=True)
class ListedRow:
    """A row of a table: for each class noun, for each subject, the digest of the cell of each seed."""

    label: str
    role: str
    cells: Mapping[str, tuple[tuple[str, ...], ...]]
    published: Mapping[str, Mapping[str, float]]
    models: Mapping[str, tuple[ListedModel, ...]] = field(default_factory=dict[str, tuple[ListedModel, ...]])
    """For each class noun, for each subject, where the models have an exam."""


@dataclass(frozen=True)
class Listing:
    """A scenario at one size: what a table shows, and which cells it is made of."""

    name: str
    size: str
    title: str
    note: str
    published_on: str
    better: Mapping[str, str]
    controls: bool
    sheet: tuple[str, ...]
    rows: tuple[ListedRow, ...]
    same_images: bool = False
    """Whether similarity is to the photos that were trained on, the papers' protocol."""
    before: Mapping[str, str] = field(default_factory=dict[str, str])
    """By an attack's digest, where the models have an exam: the cell of the unprotected model before it."""


def record_path(folder: Path, digest: str) -> Path:
    return folder / RECORDS / f"{digest}.json"


def write(record: Outcome | Listing | Made, path: Path) -> None:
    """Beside, and then renamed: a reader never meets half a file, and two writers never each other's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{uuid4().hex}.part")
    beside.write_text(json.dumps(asdict(record), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    beside.replace(path)


def read_outcome(folder: Path, digest: str) -> Outcome | None:
    """The cell's record, or None while it is not finished. Raises `InputError` for a damaged one."""
    path = record_path(folder, digest)
    if not path.exists():
        return None
    found = read_json(Outcome, path, fix="delete it and run the scenario again; the rest is kept")
    if found.digest != digest:
        raise InputError(f"{path} is the record of cell {found.digest}", fix="delete it, run again")
    return found


def read_listings(folder: Path) -> list[Listing]:
    """Every table of a bench's folder. Raises `InputError` if there is none or one is damaged."""
    paths = sorted((folder / LISTINGS).glob("*.json"))
    if not paths:
        raise InputError(f"'{folder}' holds no table", fix="give the folder of 'apdm bench'")
    return [read_json(Listing, path, fix="run the scenario again; the cells are kept") for path in paths]
