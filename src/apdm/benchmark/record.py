"""The record of a run: every figure with its interval, and the folder that keeps them.

A run's folder holds `result.json` (this record), `log.jsonl`, and the pictures themselves as
`pictures/<subject>/<set>/picture_NNNNN.png`. In a trial's, equal names in two sets of generated pictures
mean equal prompt (but for whom it names) and seed; pictures brought to `apdm evaluate` are as they come.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from apdm.benchmark.reading import read_json, refuse_name
from apdm.benchmark.store import save_text
from apdm.direction import Direction
from apdm.errors import InputError

RESULT_FILE, LOG_FILE, PICTURE_FOLDER = "result.json", "log.jsonl", "pictures"
PICTURE_STEM = "picture"  # of the files in every set: the report lays equal names side by side

PICTURE_SETS = (
    "photos",
    "attacked_unprotected",
    "attacked_protected",
    "class_unprotected",
    "class_protected",
    "other_photos",
    "other_attacked_unprotected",
    "other_attacked_protected",
)


@dataclass(frozen=True)
class Figure:
    """A measured number with its 95 % interval [low, high] and the number `n` it rests on.

    NaN is a value that is undefined, an infinite end one that is open; JSON has null for both.
    `extractor` names the judge whose features were compared and `fingerprint` is the SHA-256 of its weights;
    None where a figure is derived from others, or was recorded before there were fingerprints. `excluded`
    counts the pictures without a value, which are not in n.
    Raises `InputError` where the interval is upside down, or nothing was looked at.
    """

    NULL: ClassVar[Mapping[str, float]] = {"value": math.nan, "low": -math.inf, "high": math.inf}

    value: float
    low: float
    high: float
    n: int
    extractor: str | None = None
    direction: Direction = Direction.REFERENCE
    fingerprint: str | None = None
    excluded: int = 0

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise InputError(f"{self} has an interval upside down", fix="give low <= high")
        if self.n < 0 or self.excluded < 0 or self.n + self.excluded < 1:
            raise InputError(f"{self} rests on nothing", fix="give n >= 1")


@dataclass(frozen=True)
class Provenance:
    """By which code and on what something was made. `commit` is the last one that changed the package;
    `dirty` says whether there were uncommitted changes to it."""

    commit: str
    dirty: bool
    device: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Similarity:
    """S, the mean cosine to held-out pictures of the subject, of six kinds of pictures.

    real: the subject's own other pictures. class_prompt: the *unprotected* model's pictures for the
    class prompt. random_other: another individual of the class (None: not measured). noise: pixels without
    any content.
    """

    real: Figure
    attacked_unprotected: Figure
    attacked_protected: Figure
    class_prompt: Figure
    noise: Figure
    random_other: Figure | None = None


@dataclass(frozen=True)
class BeforeAfter:
    """One quantity of the unprotected and of the protected model."""

    unprotected: Figure
    protected: Figure


@dataclass(frozen=True)
class SubjectResult:
    """What was measured for one subject; S as in `Similarity`.

    attack_strength: (S_attacked_unprotected - S_class) / (S_real - S_class), the control.
    protection_rate: (S_attacked_unprotected - S_attacked_protected) / (S_attacked_unprotected - S_class),
        never clipped.
    other_subject_strength_ratio: attack strength on the protected model over that on the unprotected
        one, for another individual of the same class under the same identifier.
    kid: of class pictures. brisque: by picture set. further: what else was, by measure and picture set.
    seconds: by piece of work. None: not measured.
    """

    name: str
    class_noun: str
    similarity: Similarity
    attack_strength: Figure
    protection_rate: Figure
    seconds: Mapping[str, float]
    other_subject_strength_ratio: Figure | None = None
    kid: BeforeAfter | None = None
    brisque: Mapping[str, Figure] | None = None
    further: Mapping[str, Mapping[str, Figure]] | None = None

    def __post_init__(self) -> None:
        if not self.name or self.name in (".", "..") or "/" in self.name or "\\" in self.name:
            raise InputError(f"subject name '{self.name}'", fix="use a name that can name a folder")
        for measure, sets in {"brisque": self.brisque or {}, **(self.further or {})}.items():
            for unknown in set(sets) - set(PICTURE_SETS):
                refuse_name(unknown, PICTURE_SETS, f"{measure} of {self.name}")


@dataclass(frozen=True)
class Result:
    """A whole run. `attacks` lists in words what was attacked with; `settings` is the resolved config.

    toy: measured on the Toybox, so that every figure is called a toy figure.
    """

    subjects: tuple[SubjectResult, ...]
    toy: bool
    attacks: tuple[str, ...]
    settings: Mapping[str, object]
    versions: Mapping[str, str]

    def __post_init__(self) -> None:
        names = [subject.name for subject in self.subjects]
        if not names or len(set(names)) < len(names):
            raise InputError(f"subjects {names}", fix="record one subject or more, each name once")
        if not self.attacks:
            raise InputError("no attack is listed", fix="say in `attacks` what the models were attacked with")


def write_result(result: Result, folder: Path) -> Path:
    """Writes `result.json`, whole or not at all. Raises `InputError` where the settings hold something that
    JSON does not have (NaN, objects), or the place cannot be written."""
    path = folder / RESULT_FILE
    try:
        text = json.dumps(as_json(result), indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} cannot be written ({error})", fix="record plain, finite values") from error
    save_text(text + "\n", path)
    return path


def read_result(folder: Path) -> Result:
    """The record in `folder`. Raises `InputError` for a missing file, an unknown or missing key, or a
    value of another type than the record's."""
    path = folder / RESULT_FILE
    return read_json(Result, path, fix="give the folder of a finished run")


def as_json(record: Figure | SubjectResult | Result) -> dict[str, object]:
    """A record as JSON has it: figures that are undefined or open become null."""
    return asdict(record, dict_factory=_without_infinities)


def _without_infinities(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return {name: None if _is_open(value) else value for name, value in pairs}


def _is_open(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
