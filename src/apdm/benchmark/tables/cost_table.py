"""From finished exams to tables: each model's marks, as Table 2 has them, and TIFA's by what is asked; what
protection costs: the same against the unprotected model, pair by pair, and attacks by others, beside what is
bought for it; and the costs of the rows that protect alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from apdm.benchmark.tables.equal_protection import RATE, STRENGTH, equal_table
from apdm.benchmark.tables.grid import MARKS
from apdm.benchmark.tables.marks import (
    BETTER,
    NAMES,
    NOWHERE,
    entry_of,
    given_by,
    mark,
    named,
    parts,
    tasks_of,
    values,
)
from apdm.benchmark.tables.outcome import (
    TO_OWNER,
    ListedRow,
    Listing,
    Measured,
    Outcome,
    read_outcome,
    record_path,
)
from apdm.benchmark.tables.preservation import NEIGHBOUR, OTHER, SAME
from apdm.benchmark.tables.table import CONTROL, DEFENCE, PUBLISHED, Column, Entry, Line, Table, marked
from apdm.benchmark.tables.tabulate import (
    code_of,
    compared_with,
    digests_of,
    judges_of,
    many,
    refuse_mixtures,
)
from apdm.errors import InputError
from apdm.metrics.statistics import (
    Means,
    Statistic,
    hierarchical_bootstrap,
    protection_rate,
    rate_beyond,
    strength_ratio,
)

COST, TYPES = "cost", "tifa"  # of their tables' names
RATED = ("protected", "unprotected", "class")  # what a rate or a ratio rests on
APART = ("apart", "apart unprotected")

Figure = tuple[Column, Callable[[ListedRow], Entry]]


@dataclass(frozen=True)
class Records:
    """What is finished, and the unprotected model's exam."""

    listing: Listing
    found: Mapping[str, Outcome]

    @property
    def unprotected(self) -> Outcome | None:
        return self.found.get(unprotected_exam(self.listing))

    def exams(self, row: ListedRow) -> list[Outcome]:
        """Of the row's models, each once."""
        return [self.found[digest] for digest in exams_of(row) if digest in self.found]

    @property
    def attacks(self) -> dict[str, Outcome]:
        return {digest: it for digest, it in self.found.items() if it.control}

    def missing(self, row: ListedRow) -> int:
        """With what was drawn before the row's attacks, on which its rates rest."""
        before = {self.listing.before[it] for it in every_digest(row) if it in self.listing.before}
        return len((every_digest(row) | before) - self.found.keys())


def cost_tables(listing: Listing, folder: Path) -> tuple[Table, ...]:
    """The marks, the costs, TIFA's types and, where there is a defence, the costs of what protects as much,
    from the records in `folder`; what is not finished is left out and counted. Raises `InputError` as
    `tabulate` does, for a listing of an earlier form, and where the unprotected model has no exam yet."""
    check_form(listing)
    wanted = set(listing.before.values()).union(*(every_digest(row) for row in listing.rows))
    found = {digest: it for digest in wanted if (it := read_outcome(folder, digest)) is not None}
    records = Records(listing, found)
    if records.unprotected is None:
        what = f"the unprotected model of '{listing.name}' has no exam yet"
        raise InputError(what, fix="go on with apdm bench")
    refuse_mixtures(list(found.values()))
    told = notes(records, records.unprotected, len(wanted) - len(found))
    marks, costs, types = (
        make(records, records.unprotected, told) for make in (marks_table, costs_table, types_table)
    )
    first = next((row for row in listing.rows if row.role == DEFENCE), None)
    if first is None:
        return marks, costs, types
    others = [row for row in listing.rows if row.role != CONTROL and row != first]
    if records.missing(first):  # some of its attacks are not all of them
        others = []
    beyond = {row.label: beyond_of(records, first, row) for row in others}
    return marks, costs, types, equal_table(listing, costs, beyond, first.label)


def any_examined(listing: Listing, folder: Path) -> bool:
    """Whether the unprotected model has its exam, so that `cost_tables` has something to compare with. Raises
    `InputError` for a listing of an earlier form."""
    check_form(listing)
    return record_path(folder, unprotected_exam(listing)).exists()


def check_form(listing: Listing) -> None:
    """Raises `InputError` for a listing that does not know of each attack what was drawn before it."""
    attacks = set[str]().union(*(every_digest(row) - {*exams_of(row)} for row in listing.rows))
    if not all(row.models for row in listing.rows) or not attacks <= listing.before.keys():
        what = f"the listing of '{listing.name}' at size {listing.size} is of an earlier version"
        raise InputError(what, fix="run the scenario again; finished cells of this code are kept")


def unprotected_exam(listing: Listing) -> str:
    """Its cell: every plan with exams has such a control."""
    control = next(row for row in listing.rows if row.role == CONTROL)
    return exams_of(control)[0]


def exams_of(row: ListedRow) -> list[str]:
    return list(dict.fromkeys(model.exam for models in row.models.values() for model in models))


def every_digest(row: ListedRow) -> set[str]:
    models = [it for some in row.models.values() for it in some]
    others = [runs for it in models for members in it.others.values() for runs in members]
    return {*digests_of(row), *exams_of(row)}.union(*others)


# Marks: of a model in its exam.


def marks_table(records: Records, unprotected: Outcome, notes: tuple[str, ...]) -> Table:
    """Each row's marks, means over its models, beside the published ones."""
    listing, figures = records.listing, list[Figure]()
    for metric in MARKS:
        ours = Column(metric, named(metric, unprotected), "", BETTER[metric])
        figures.append((ours, partial(mark_of, records, metric)))
        if any(metric in row.published for row in listing.rows):
            theirs = Column(metric, NAMES[metric], "", BETTER[metric], PUBLISHED)
            figures.append((theirs, partial(published, metric)))
    return _table(records, listing.name, listing.title, figures, notes)


def types_table(records: Records, unprotected: Outcome, notes: tuple[str, ...]) -> Table:
    """Each row's TIFA by element type: the share of right answers of a caption that asks for it, means over
    captions and over the row's models."""
    listing, types = records.listing, parts("tifa", unprotected)
    judges = ", ".join(dict.fromkeys(given_by(it, unprotected) for it in types))
    figures: list[Figure] = [
        (Column("tifa", f"{it.removeprefix('tifa ')}, %", "", BETTER["tifa"]), partial(mark_of, records, it))
        for it in types
    ]
    title = f"{listing.title}: TIFA by what is asked ({judges})"
    said = "Of each kind of question the mean, over the captions that ask it, of the share of right answers."
    return _table(records, f"{listing.name}-{TYPES}", title, figures, (said, *notes))


def published(metric: str, row: ListedRow) -> Entry:
    return Entry(row.published.get(metric, {}).get("all"))


def mark_of(records: Records, metric: str, row: ListedRow) -> Entry:
    return mark(metric, records.exams(row))


def change_of(records: Records, metric: str, unprotected: Outcome, row: ListedRow) -> Entry:
    return mark(metric, [it for it in records.exams(row) if it != unprotected], against=unprotected)


# Costs: changes of marks, and attacks.


def costs_table(records: Records, unprotected: Outcome, notes: tuple[str, ...]) -> Table:
    """What is bought, and what it costs, row by row."""
    listing = records.listing
    similarity = Column("similarity", f"similarity ({judges_of(records.attacks)})", "", "lower")
    attacks = partial(attacked, records)
    figures: list[Figure] = [
        (similarity, partial(attacks, lambda means: means["protected"], ("protected",), None)),
        (Column("ratio", RATE, "", "higher"), partial(rate_of, records)),
    ]
    for metric in MARKS:  # what costs nothing may buy nothing: `equal_table` ranks costs
        column = Column(f"{metric} change", f"{NAMES[metric]}, change", "", BETTER[metric], ranked=False)
        figures.append((column, partial(change_of, records, metric, unprotected)))
    for sort in (SAME, OTHER, NEIGHBOUR):  # 1 is unharmed, and more is no merit
        ratio = Column("ratio", STRENGTH.format(sort), "", "higher", ranked=False)
        figures.append((ratio, partial(attacks, strength_ratio, RATED, sort)))
    # Neither way is better: more are told apart where pictures are driven from the protected, whatever to.
    apart = Column("ratio", f"{NEIGHBOUR} told apart, change", "", "", ranked=False)
    figures.append((apart, partial(attacks, told_apart_change, APART, NEIGHBOUR)))
    time = Column("ratio", "seconds a picture, ratio", "", "lower", ranked=False)  # no defence is quicker
    figures.append((time, lambda row: time_of(records.exams(row))))
    return _table(records, f"{listing.name}-{COST}", f"{listing.title}: what it costs", figures, notes)


def rate_of(records: Records, row: ListedRow) -> Entry:
    """Nothing of the control, which would be compared with itself."""
    return NOWHERE if row.role == CONTROL else attacked(records, protection_rate, RATED, None, row)


def beyond_of(records: Records, first: ListedRow, row: ListedRow) -> Entry:
    """The row's protection rate less that of the row `first`, by the same attacks on the same subjects."""
    cells: dict[str, list[list[np.ndarray]]] = {key: [] for key in (*RATED, "rival")}
    for own, others in zip(subjects_of(row), subjects_of(first), strict=True):
        pairs = zip(own, (of_attack(records, it) for it in others), strict=True)
        known = {
            digest: it | {"rival": other["protected"]}
            for digest, other in pairs
            if other and {*RATED} <= (it := of_attack(records, digest)).keys()
        }
        for key in cells if known else ():
            cells[key].append(runs_of(records, key, known))
    return figure_of(rate_beyond, cells)


def subjects_of(row: ListedRow) -> list[tuple[str, ...]]:
    """Of each subject the digests of its seeds."""
    return [runs for subjects in row.cells.values() for runs in subjects]


def told_apart_change(means: Means) -> Float64[np.ndarray, "draws"]:
    return means["apart"] - means["apart unprotected"]


def time_of(exams: Sequence[Outcome]) -> Entry:
    """How much longer the protected models take to draw the same pictures; n counts pairs of batches."""
    runs = [[values(it.measured["time"])] for it in exams if "time" in it.measured]
    if not runs:
        return NOWHERE
    interval = hierarchical_bootstrap(lambda means: means["it"], {"it": runs}, seed=0)
    return entry_of(interval, sum(len(it[0]) for it in runs))


def attacked(
    records: Records, statistic: Statistic, rests_on: Sequence[str], sort: str | None, row: ListedRow
) -> Entry:
    """The statistic over the row's subjects; of each, all attacks on its model count alike of which there is
    what it `rests_on`."""
    cells: dict[str, list[list[np.ndarray]]] = {key: [] for key in rests_on}
    for noun, subjects in row.cells.items():
        for number, own in enumerate(subjects):
            members = [own] if sort is None else row.models[noun][number].others.get(sort, ())
            digests = [digest for runs in members for digest in runs]
            known = {it: found for it in digests if (found := of_attack(records, it)).keys() >= {*rests_on}}
            for key in rests_on if known else ():
                cells[key].append(runs_of(records, key, known))
    return figure_of(statistic, cells)


def runs_of(records: Records, key: str, known: Mapping[str, Mapping[str, np.ndarray]]) -> list[np.ndarray]:
    """One of each attack; what the model drew before any attack counts once, however many began there."""
    before = records.listing.before
    runs = {before[digest] if key == "class" else digest: it[key] for digest, it in known.items()}
    return list(runs.values())


def figure_of(statistic: Statistic, cells: dict[str, list[list[np.ndarray]]]) -> Entry:
    """The statistic of `cells`; n counts pictures of the first."""
    runs = [images for subject in next(iter(cells.values())) for images in subject]
    if not runs:
        return NOWHERE
    return entry_of(hierarchical_bootstrap(statistic, cells, seed=0), sum(map(len, runs)))


def of_attack(records: Records, digest: str) -> dict[str, np.ndarray]:
    """Similarities of an attack's pictures, of its control's and of those before any; and whether each is
    told apart from the protected subject. What is not finished is left out."""
    it, before = (records.found.get(some) for some in (digest, records.listing.before[digest]))
    if it is None:
        return {}
    found = {"protected": values(it.measured["similarity"]), "unprotected": values(it.control["similarity"])}
    if before:
        found["class"] = values(before.measured["similarity"])
    if TO_OWNER in it.measured:
        found |= {"apart": told_apart(it.measured), "apart unprotected": told_apart(it.control)}
    return found


def told_apart(measured: Mapping[str, Measured]) -> np.ndarray:
    """1 for each picture that is more like its own subject than like the protected one."""
    return (values(measured["similarity"]) > values(measured[TO_OWNER])).astype(float)


def _table(
    records: Records, name: str, title: str, figures: Sequence[Figure], notes: tuple[str, ...]
) -> Table:
    lines = [
        Line(row.label, row.role, tuple(entry(row) for _, entry in figures), records.missing(row))
        for row in records.listing.rows
    ]
    columns = tuple(column for column, _ in figures)
    return Table(name, records.listing.size, title, columns, marked(columns, lines), notes)


def of_renders(measured: Mapping[str, Measured]) -> list[str]:
    """How far the judges themselves are right, where the scenes of the captions can be rendered."""
    if not {"renders clip", "renders tifa"} <= measured.keys():
        return []
    clip, right = (float(values(measured[f"renders {name}"]).mean()) for name in ("clip", "tifa"))
    return [
        f"The judges give renders of the captioned scenes themselves a CLIP score of {clip:.4f} and a TIFA "
        f"of {100 * right:.2f} %."
    ]


def attacks_of(records: Records) -> str:
    """Such as "4 subjects, 1 attack seed each"."""
    runs = [runs for row in records.listing.rows for by in row.cells.values() for runs in by]
    done = [records.found[digest].cell for several in runs for digest in several if digest in records.found]
    subjects = {(str(cell["class_noun"]), str(cell["subject"])) for cell in done}
    seeds = {str(cell["seed"]) for cell in done}
    return f"{many(len(subjects), 'subject')}, {many(len(seeds), 'attack seed')} each"


def notes(records: Records, unprotected: Outcome, missing: int) -> tuple[str, ...]:
    listing, measured = records.listing, unprotected.measured
    prompts = sum(len(measured[task].values) for task in tasks_of("geneval", unprotected))
    models = len({it.digest for row in listing.rows for it in records.exams(row)}) - 1
    by = [it for outcome in records.found.values() for it in outcome.provenance]
    return (
        f"Model {unprotected.cell['model']}. {many(models, 'protected model')}; every model draws "
        f"{many(len(measured['clip'].values), 'caption')} (FID, KID, CLIP score), "
        f"{many(len(measured['tifa'].values), 'caption')} for TIFA and {many(prompts, 'prompt')} for "
        "GenEval, all with the same seeds.",
        "Marks are means over a row's models. A change is protected minus unprotected, caption by caption, "
        "prompt by prompt, and for FID and KID on the same random halves of the pictures; 95 % bootstrap "
        "intervals over captions, which are the same for all models, and over models. With few models such "
        "intervals are narrower than they should be.",
        *of_renders(measured),
        "FID and KID depend on judge, references and number of pictures: compare them within a table only.",
        f"Similarity is to {compared_with(listing)}. It and the protection rate are of the attack on the "
        f"protected subject ({attacks_of(records)}), against the same attack on the unprotected model and "
        "that model's pictures of the class before any attack.",
        "A strength ratio is how far the attack by somebody else, with one seed, gets on the protected "
        "model, over how far on the unprotected one: 1 is unharmed. Told apart: the share of a neighbour's "
        "pictures that are more like it than the protected. The same others attack several models, which an "
        "interval takes for so many others: those of the ratios are narrower than they should be.",
        f"{len(records.found)} cells, {missing} more not finished; evaluation {unprotected.evaluation}, "
        f"{code_of(by[0])}; made on {'; '.join(sorted({it.device for it in by}))}.",
        *([listing.note] if listing.note else []),
    )
