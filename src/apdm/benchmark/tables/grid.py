"""A published table as data: rows of methods, crossed with subjects and seeds, at the size of a model.

`sizes.toml` beside a scenario holds what all tables have in common at a size; a scenario's own [toy] and
[real] stand over it, key by key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apdm.backbones.base import Sampling
from apdm.benchmark.reading import read_as, read_toml, refuse_name
from apdm.benchmark.tables.exam import Exam
from apdm.benchmark.tables.table import CONTROL, DEFENCE, PLACEBO
from apdm.errors import InputError, at_least
from apdm.prompts import IDENTIFIER
from apdm.subject import SET_NAMES

SIZES_FILE = "sizes.toml"
SIZES = ("toy", "real")
METRICS = ("similarity", "brisque")
MARKS = ("fid", "kid", "clip", "tifa", "geneval")  # of a model in an exam
BETTER = {"similarity": "lower", "brisque": "higher"}  # speaks for a protection
PROMPT_LISTS = ("evaluation", "diverse")
ITSELF, TWIN = "itself", "twin"
KINDS = ("cloak", "purifier", "protector", "personalizer")

Settings = Mapping[str, Mapping[str, object]]  # by kind of method: some of its fields
ByClass = Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """One line of a table: who does what, "none" standing for without. Each subject and seed is a cell."""

    label: str
    role: str = DEFENCE
    """control, defence or placebo; best and second best are marked among the defences."""
    cloak: str = "none"
    clean: int | str = "N"
    """How many of the N photos that the attacker has are not cloaked: a number, "N" or "N-1"."""
    purifier: str = "none"
    """What the attacker does to all his photos."""
    protector: str = "none"
    protected_for: str = ITSELF
    """Who is protected: itself, twin (the next subject of the class) or a class noun (its first)."""
    personalizer: str = "dreambooth"
    photos: str = "protect"
    """The set that the attacker has [the papers': the photos that were protected]."""
    count: int | None = None
    """N; all of the set if not given."""
    identifier: str = IDENTIFIER
    """The attacker's."""
    class_noun: Mapping[str, str] = field(default_factory=dict)
    """The attacker's word for a class, where it is another."""
    prompts: str = "evaluation"
    settings: Settings = field(default_factory=dict)
    """Fields of the methods' settings, by kind, that differ from the size's."""
    toy: Settings = field(default_factory=dict)
    """The same at this size only."""
    real: Settings = field(default_factory=dict)
    published: Mapping[str, ByClass] = field(default_factory=dict)
    """By metric and class noun ("all": their mean): what the paper found, on another model."""

    def __post_init__(self) -> None:
        one_of(self.role, (CONTROL, DEFENCE, PLACEBO), f"role of row '{self.label}'")
        one_of(self.photos, SET_NAMES, f"photos of row '{self.label}'")
        one_of(self.prompts, PROMPT_LISTS, f"prompts of row '{self.label}'")
        if isinstance(self.clean, str):
            one_of(self.clean, ("N", "N-1"), f"clean of row '{self.label}'")
        elif self.clean < 0:
            raise InputError(f"clean of row '{self.label}' is {self.clean}", fix="give 0 or more")
        for settings in (self.settings, self.toy, self.real):
            for kind in settings:
                one_of(kind, KINDS, f"settings of row '{self.label}'")
        for metric in self.published:
            one_of(metric, (*METRICS, *MARKS), f"published of row '{self.label}'")

    def unperturbed(self, n: int, name: str) -> int:
        """The clean count of subject `name`, whose attacker has `n` photos. Raises `InputError` above `n`."""
        clean = {"N": n, "N-1": n - 1}[self.clean] if isinstance(self.clean, str) else self.clean
        if clean > n:
            raise InputError(
                f"row '{self.label}': clean is {clean}, and of {name} the attacker has {n} photos",
                fix=f"give {n} or fewer",
            )
        return clean


@dataclass(frozen=True)
class Size:
    """What all tables have in common on one kind of model."""

    model: str
    """toybox, a diffusers folder or a hub id."""
    judge: str
    preset: str
    """Of the methods' settings: published or toybox."""
    subjects: Mapping[str, tuple[int | str, ...]]
    """By class noun: numbers of reported toys, or folders of photos below --data."""
    seeds: tuple[int, ...]
    """Of the attack's draws."""
    class_images: int
    """That the attacker draws with the model he attacks, and the owner with the model as it was."""
    images_per_prompt: Mapping[str, int]
    """By list of prompts."""
    sampling: Sampling
    columns: tuple[str, ...] = ()
    """Class nouns that are attacked; all of `subjects` if none."""
    same_images: bool = False
    """Folders of photos: the papers' protocol, all photos in all sets."""
    views: Mapping[str, int] = field(default_factory=dict)
    """Toys: pictures of each set, where they are not the usual ones."""
    cloak: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """By name: fields that differ from the preset's; the same for the other kinds."""
    purifier: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    protector: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    personalizer: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Of a work ("protect apdm"), expected as long as none of its sort has been made here."""
    seed: int = 0
    """Of everything else."""
    exam: Exam | None = None
    """Of each row's models, where the table says what a protection costs."""

    def __post_init__(self) -> None:
        at_least(self, class_images=1)
        for name, values in {"seeds": self.seeds, **self.subjects}.items():
            if not values or len(set(values)) < len(values):
                raise InputError(f"{name} are {list(values)}", fix="give one or more, each once")
        for noun in self.columns:
            one_of(noun, self.subjects, "columns")
        for prompts, count in self.images_per_prompt.items():
            one_of(prompts, PROMPT_LISTS, "images_per_prompt")
            if count < 1:
                raise InputError(f"images_per_prompt.{prompts} is {count}", fix="give 1 or more")

    @property
    def attacked(self) -> tuple[str, ...]:
        """The class nouns that are columns."""
        return self.columns or tuple(self.subjects)


@dataclass(frozen=True)
class Grid:
    """A scenario file."""

    name: str
    title: str
    row: tuple[Row, ...]
    note: str = ""
    published_on: str = "Stable Diffusion 1.5"
    better: Mapping[str, str] = field(default_factory=lambda: BETTER)
    """By metric: whether the higher or the lower figure is the better one."""
    controls: bool = False
    """Whether the control of each row has a column: where rows are attacked differently."""
    sheet: tuple[str, ...] = ()
    """Labels of the rows whose pictures are laid side by side."""
    toy: Mapping[str, object] | None = None
    """Over sizes.toml's."""
    real: Mapping[str, object] | None = None
    sizes: tuple[str, ...] = SIZES
    """At which it can be run."""

    def __post_init__(self) -> None:
        labels = [row.label for row in self.row]
        if not labels or len(set(labels)) < len(labels):
            raise InputError(f"scenario '{self.name}' has rows {labels}", fix="give some, each label once")
        for size in self.sizes:
            one_of(size, SIZES, "sizes")
        for label in self.sheet:
            one_of(label, labels, "sheet")
        for metric, way in self.better.items():
            one_of(metric, METRICS, "better")
            one_of(way, ("higher", "lower"), f"better.{metric}")


def is_grid(path: Path) -> bool:
    """Whether the file has rows; the frozen evaluation has none."""
    return "row" in read_toml(path)


def read_grid(path: Path) -> Grid:
    """Raises `InputError` for a file that cannot be read, an unknown or missing name or a wrong value."""
    return read_as(Grid, read_toml(path), str(path))


def read_size(path: Path, grid: Grid, size: str, model: str | None = None) -> Size:
    """The size of the scenario `grid` in `path`; `model` stands over the file's. Raises `InputError`."""
    one_of(size, SIZES, "--size")
    if size not in grid.sizes:
        raise InputError(f"'{grid.name}' has no size {size}", fix=f"use --size {grid.sizes[0]}")
    common: dict[str, Any] = read_toml(path.parent / SIZES_FILE)
    own = {"toy": grid.toy, "real": grid.real}[size] or {}
    values = common.get(size, {}) | own | ({"model": model} if model else {})
    return read_as(Size, values, f"{path.parent / SIZES_FILE}, [{size}]")


def one_of(value: str, known: Mapping[str, Any] | tuple[str, ...] | list[str], where: str) -> None:
    """Raises `InputError` unless `value` is known; the nearest is offered."""
    if value not in known:
        refuse_name(value, known, where)
