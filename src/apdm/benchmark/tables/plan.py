"""From a scenario to its cells, and what they will cost: nothing is made here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median

from apdm.assets import sha256
from apdm.backbones.load import locate
from apdm.benchmark.reading import changed
from apdm.benchmark.tables.cell import Cell
from apdm.benchmark.tables.exam import paper
from apdm.benchmark.tables.examiners import check_questions, places
from apdm.benchmark.tables.grid import ITSELF, KINDS, TWIN, Grid, Row, Size, one_of
from apdm.benchmark.tables.kept import AnyCell
from apdm.benchmark.tables.methods import NONE, Chosen, Methods
from apdm.benchmark.tables.outcome import ListedRow, Listing, record_path
from apdm.benchmark.tables.preservation import Model, Preservation, before_attack
from apdm.benchmark.tables.subjects import Photos, Source, source
from apdm.benchmark.tables.table import CONTROL
from apdm.benchmark.tables.works import Work, Works, digest
from apdm.errors import InputError
from apdm.metrics.judges import check_name, place
from apdm.prompts import EVALUATION_TEMPLATES, LIVE_TEMPLATES, OBJECT_TEMPLATES
from apdm.subject import SetName

WEIGHED = (".safetensors", ".bin", ".json", ".txt", ".model")  # weights, settings, vocabularies
LIVE = ("dog", "cat", "person")  # whose diverse prompts are DreamBooth's for live subjects
Models = Mapping[str, Mapping[str, list[Model]]]  # label -> class noun -> [subject]
Rows = Mapping[str, Mapping[str, list[list[Cell]]]]  # label -> class noun -> [subject][seed]


@dataclass(frozen=True)
class Plan:
    """A scenario at a size with all its cells."""

    grid: Grid
    size: str
    rows: Rows
    same_images: bool = False
    models: Models = field(default_factory=dict)
    """Those in an exam."""
    before: Mapping[str, Cell] = field(default_factory=dict)
    """By an attack's digest, where the models have an exam: what the unprotected model draws before it."""

    def cells(self) -> list[AnyCell]:
        """Each once, row by row, neighbours being of different subjects: who works beside another then
        seldom needs what that one is making."""
        found: dict[str, AnyCell] = {}
        for by_class in self.rows.values():
            lines = [runs for subjects in by_class.values() for runs in subjects]
            for seed in range(max(map(len, lines))):
                found |= {runs[seed].digest: runs[seed] for runs in lines if seed < len(runs)}
        return list((found | {cell.digest: cell for _, cell in self.examined()}).values())

    def examined(self) -> list[tuple[str, AnyCell]]:
        """The cells beyond the rows', with what each is for."""
        models = [(label, it) for label, rows in self.models.items() for some in rows.values() for it in some]
        exams = [(f"{label}, exam", it.kept) for label, it in models]
        others = [
            (f"{label}, {sort} of {it.kept.subject.name}", cell)
            for label, it in models
            for sort, some in it.others.items()
            for runs in some
            for cell in runs
        ]
        return [*exams, *others, *(("before any attack", cell) for cell in self.before.values())]

    def listing(self) -> Listing:
        grid = self.grid
        rows = tuple(
            ListedRow(
                row.label,
                row.role,
                {
                    noun: tuple(tuple(cell.digest for cell in runs) for runs in subjects)
                    for noun, subjects in self.rows[row.label].items()
                },
                row.published,
                {
                    noun: tuple(model.listed() for model in models)
                    for noun, models in self.models.get(row.label, {}).items()
                },
            )
            for row in grid.row
        )
        return Listing(
            name=grid.name,
            size=self.size,
            title=grid.title,
            note=grid.note,
            published_on=grid.published_on,
            better=grid.better,
            controls=grid.controls,
            sheet=grid.sheet,
            rows=rows,
            same_images=self.same_images,
            before={attack: cell.digest for attack, cell in self.before.items()},
        )


def planned(grid: Grid, name: str, size: Size, methods: Methods, data: Path | None) -> Plan:
    """The cells of `grid` at the size called `name`. Photos below `data` are looked at; nothing is loaded.
    Raises `InputError` for a method, subject or setting that is not known, and a clean count above N."""
    check_name(size.judge)
    weights = model_weights(size.model), judge_weights(size.judge)
    subjects = {
        noun: [source(noun, which, size.views, data, size.same_images) for which in several]
        for noun, several in size.subjects.items()
    }
    every = [who for several in subjects.values() for who in several]
    rows: dict[str, dict[str, list[list[Cell]]]] = {}
    for row in grid.row:
        make = partial(_cell, row, name, size, methods, *weights, subjects)
        rows[row.label] = {
            noun: [[make(who, seed) for seed in size.seeds] for who in subjects[noun]]
            for noun in size.attacked
        }
    same_images = size.same_images and any(isinstance(it, Photos) for it in every)
    if size.exam is None:
        return Plan(grid, name, rows, same_images)
    check_controls(grid)
    known = {key: _weights(at) for key, at in places(size.exam).items()}
    others, neighbours = (
        {
            noun: [source(noun, it, size.views, data, size.same_images) for it in some]
            for noun, some in by.items()
        }
        for by in (size.exam.others, size.exam.neighbours)
    )
    asked = Preservation(paper(size.exam, data, known), subjects, others, neighbours)
    check_questions(asked.paper)

    def attack(row: Row, who: Source) -> Cell:
        """By the first seed; the cell's own subject may be anybody's."""
        itself = replace(row, protected_for=ITSELF)
        return _cell(itself, name, size, methods, *weights, subjects, who, size.seeds[0])

    models = {
        row.label: {
            noun: [asked.model(runs[0], partial(attack, row)) for runs in some]
            for noun, some in rows[row.label].items()
        }
        for row in grid.row
    }
    own = [cell for by in rows.values() for some in by.values() for runs in some for cell in runs]
    theirs = [cell for by in models.values() for some in by.values() for it in some for cell in it.attacks]
    before = {cell.digest: before_attack(cell) for cell in (*own, *theirs)}
    return Plan(grid, name, rows, same_images, models, before)


def check_controls(grid: Grid) -> None:
    """Raises `InputError` unless the controls, of which there must be one, are the unprotected model, with
    which an exam compares the others."""
    controls = [row for row in grid.row if row.role == CONTROL]
    if not controls or any(row.protector != NONE for row in controls):
        what = f"'{grid.name}' has an exam and no row, or a protected one, as its control"
        raise InputError(what, fix='give an unprotected row role = "control"')


def _cell(
    row: Row,
    size_name: str,
    size: Size,
    methods: Methods,
    weights: str,
    judge_weights: str,
    subjects: Mapping[str, list[Source]],
    who: Source,
    seed: int,
) -> Cell:
    chosen = {kind: _chosen(kind, row, size_name, size, methods) for kind in KINDS}
    photos: SetName = row.photos  # pyright: ignore[reportAssignmentType]  (checked by Row)
    if photos != "protect" and size.same_images and isinstance(who, Photos):
        raise InputError(
            f"row '{row.label}' has photos = '{photos}', and at this size all sets hold the same photos",
            fix=f"set same_images = false under [{size_name}]",
        )
    there = who.count(photos)
    count = there if row.count is None else row.count
    if not 1 <= count <= there:
        raise InputError(f"row '{row.label}': count is {count}", fix=f"{who.name} has {there} such photos")
    if row.prompts not in size.images_per_prompt:
        raise InputError(f"[{size_name}] has no images_per_prompt.{row.prompts}", fix="add it")
    diverse = LIVE_TEMPLATES if who.class_noun in LIVE else OBJECT_TEMPLATES
    return Cell(
        model=size.model,
        weights=weights,
        subject=who,
        photos=photos,
        count=count,
        clean=row.unperturbed(count, who.name),
        cloak=chosen["cloak"],
        purifier=chosen["purifier"],
        protector=chosen["protector"],
        protected_for=_protected_for(row, who, subjects),
        personalizer=chosen["personalizer"],
        identifier=_identifier(row, chosen["personalizer"]),
        class_noun=row.class_noun.get(who.class_noun, who.class_noun),
        templates=EVALUATION_TEMPLATES if row.prompts == "evaluation" else diverse,
        images_per_prompt=size.images_per_prompt[row.prompts],
        class_images=size.class_images,
        sampling=size.sampling,
        judge=size.judge,
        judge_weights=judge_weights,
        seed=seed,
        setup_seed=size.seed,
    )


def _chosen(kind: str, row: Row, size_name: str, size: Size, methods: Methods) -> Chosen | None:
    """The preset's settings, changed as the size says, then as the row does."""
    name: str = getattr(row, kind)
    if name == NONE:
        return None
    settings = methods.settings(kind, name, size.preset, f"the {kind} of row '{row.label}'")
    of_size: Mapping[str, Mapping[str, object]] = getattr(size, kind)
    at_size: Mapping[str, Mapping[str, object]] = getattr(row, size_name)
    for values in (of_size.get(name, {}), row.settings.get(kind, {}), at_size.get(kind, {})):
        settings = changed(settings, values, f"row '{row.label}', {kind} {name}")
    return Chosen(name, settings)


def _identifier(row: Row, personalizer: Chosen | None) -> str:
    """The word that the attack adds to the model, if it adds one; else the row's."""
    word = personalizer.settings.placeholder_token if personalizer else None
    return word or row.identifier


def _protected_for(row: Row, who: Source, subjects: Mapping[str, list[Source]]) -> Source:
    if row.protected_for == ITSELF:
        return who
    if row.protected_for != TWIN:
        one_of(row.protected_for, [ITSELF, TWIN, *subjects], f"protected_for of row '{row.label}'")
        return subjects[row.protected_for][0]
    same = subjects[who.class_noun]
    if len(same) < 2:
        raise InputError(f"row '{row.label}': {who.name} has no twin", fix="name two subjects of each class")
    return same[same.index(who) - 1]


def model_weights(model: str) -> str:
    """What tells a model's weights from others."""
    return _weights(locate(model))


def judge_weights(judge: str) -> str:
    """The same of a judge's."""
    return _weights(place(judge))


def _weights(place: str) -> str:
    """A digest of a file, or of a folder's files that a result can depend on; a hub id itself."""
    path = Path(place)
    if path.is_file():
        return digest(sha256(path))
    if not path.is_dir():
        return place
    files = sorted(it for it in path.rglob("*") if it.suffix in WEIGHED)
    return digest(*((it.relative_to(path).as_posix(), sha256(it)) for it in files))


@dataclass(frozen=True)
class Cost:
    """What a cell still costs: seconds of works that no earlier cell makes; None where one is not known."""

    label: str
    cell: AnyCell
    done: bool
    seconds: float | None
    missing: tuple[str, ...]


def costs(plan: Plan, works: Works, expected: Mapping[str, float]) -> Iterator[Cost]:
    """Of each cell, in the order in which they are made. Seconds are the median of such works that are there,
    else what the size expects."""
    labels = {cell.digest: label for label, cell in reversed(plan.examined())} | {
        cell.digest: label
        for label, by_class in reversed(list(plan.rows.items()))
        for subjects in by_class.values()
        for runs in subjects
        for cell in runs
    }
    seen: set[str] = set()
    known = _medians(plan, works)
    for cell in plan.cells():
        missing = [work for work in cell.works if work.digest not in seen and not works.there(work)]
        seen |= {work.digest for work in missing}
        done = record_path(works.folder, cell.digest).exists()
        each = [known.get(work.title, expected.get(work.title)) for work in missing if _counts(work)]
        total = None if None in each else sum(it for it in each if it is not None)
        names = tuple(work.title for work in missing if _counts(work))
        yield Cost(labels[cell.digest], cell, done, 0.0 if done else total, () if done else names)


def _medians(plan: Plan, works: Works) -> dict[str, float]:
    took: dict[str, list[float]] = {}
    every = {work.digest: work for cell in plan.cells() for work in cell.works}
    for work in every.values():
        if works.there(work):
            took.setdefault(work.title, []).append(works.made(work).seconds)
    return {title: median(seconds) for title, seconds in took.items()}


def _counts(work: Work) -> bool:
    """Rendering and resizing take a second."""
    return work.kind not in ("subject", "photos")
