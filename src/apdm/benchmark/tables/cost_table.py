"""From finished exams to tables: each model's marks, as Table 2 has them, and TIFA's by what is asked; what
protection costs: the same against the unprotected model, pair by pair, and attacks by others, beside what is
bought for it; and the costs of the rows that protect alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from apdm.benchmark.tables.attack_figures import APART, RATED, attacked, beyond_of, rate_of, told_apart_change
from apdm.benchmark.tables.equal_protection import RATE, STRENGTH, equal_table
from apdm.benchmark.tables.finished import Finished, read_finished
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
from apdm.benchmark.tables.outcome import ListedRow, Listing, Measured, Outcome
from apdm.benchmark.tables.preservation import NEIGHBOUR, OTHER, SAME
from apdm.benchmark.tables.table import CONTROL, DEFENCE, PUBLISHED, Column, Entry, Line, Table, marked
from apdm.benchmark.tables.tabulate import code_of, compared_with, judges_of, many
from apdm.metrics.statistics import hierarchical_bootstrap, strength_ratio

COST, TYPES = "cost", "tifa"  # of their tables' names

Figure = tuple[Column, Callable[[ListedRow], Entry]]


def cost_tables(listing: Listing, folder: Path) -> tuple[Table, ...]:
    """The marks, the costs, TIFA's types and, where there is a defence, the costs of what protects as much,
    from the records in `folder`; what is not finished is left out and counted. Raises `InputError` as
    `read_finished` does."""
    finished = read_finished(listing, folder)
    told = notes(finished)
    marks, costs, types = (make(finished, told) for make in (marks_table, costs_table, types_table))
    first = next((row for row in listing.rows if row.role == DEFENCE), None)
    if first is None:
        return marks, costs, types
    others = [row for row in listing.rows if row.role != CONTROL and row != first]
    if finished.missing(first):  # some of its attacks are not all of them
        others = []
    beyond = {row.label: beyond_of(finished, first, row) for row in others}
    return marks, costs, types, equal_table(listing, costs, beyond, first.label)


# Marks: of a model in its exam.


def marks_table(finished: Finished, notes: tuple[str, ...]) -> Table:
    """Each row's marks, means over its models, beside the published ones."""
    listing, figures = finished.listing, list[Figure]()
    for metric in MARKS:
        ours = Column(metric, named(metric, finished.unprotected), "", BETTER[metric])
        figures.append((ours, partial(mark_of, finished, metric)))
        if any(metric in row.published for row in listing.rows):
            theirs = Column(metric, NAMES[metric], "", BETTER[metric], PUBLISHED)
            figures.append((theirs, partial(published, metric)))
    return _table(finished, listing.name, listing.title, figures, notes)


def types_table(finished: Finished, notes: tuple[str, ...]) -> Table:
    """Each row's TIFA by element type: the share of right answers of a caption that asks for it, means over
    captions and over the row's models."""
    listing, types = finished.listing, parts("tifa", finished.unprotected)
    judges = ", ".join(dict.fromkeys(given_by(it, finished.unprotected) for it in types))
    figures: list[Figure] = [
        (Column("tifa", f"{it.removeprefix('tifa ')}, %", "", BETTER["tifa"]), partial(mark_of, finished, it))
        for it in types
    ]
    title = f"{listing.title}: TIFA by what is asked ({judges})"
    said = "Of each kind of question the mean, over the captions that ask it, of the share of right answers."
    return _table(finished, f"{listing.name}-{TYPES}", title, figures, (said, *notes))


def published(metric: str, row: ListedRow) -> Entry:
    return Entry(row.published.get(metric, {}).get("all"))


def mark_of(finished: Finished, metric: str, row: ListedRow) -> Entry:
    return mark(metric, finished.exams(row))


def change_of(finished: Finished, metric: str, row: ListedRow) -> Entry:
    unprotected = finished.unprotected
    return mark(metric, [it for it in finished.exams(row) if it != unprotected], against=unprotected)


# Costs: changes of marks, and attacks.


def costs_table(finished: Finished, notes: tuple[str, ...]) -> Table:
    """What is bought, and what it costs, row by row."""
    listing = finished.listing
    similarity = Column("similarity", f"similarity ({judges_of(finished.attacks)})", "", "lower")
    attacks = partial(attacked, finished)
    figures: list[Figure] = [
        (similarity, partial(attacks, lambda means: means["protected"], ("protected",), None)),
        (Column("ratio", RATE, "", "higher"), partial(rate_of, finished)),
    ]
    for metric in MARKS:  # what costs nothing may buy nothing: `equal_table` ranks costs
        column = Column(f"{metric} change", f"{NAMES[metric]}, change", "", BETTER[metric], ranked=False)
        figures.append((column, partial(change_of, finished, metric)))
    for sort in (SAME, OTHER, NEIGHBOUR):  # 1 is unharmed, and more is no merit
        ratio = Column("ratio", STRENGTH.format(sort), "", "higher", ranked=False)
        figures.append((ratio, partial(attacks, strength_ratio, RATED, sort)))
    # Neither way is better: more are told apart where pictures are driven from the protected, whatever to.
    apart = Column("ratio", f"{NEIGHBOUR} told apart, change", "", "", ranked=False)
    figures.append((apart, partial(attacks, told_apart_change, APART, NEIGHBOUR)))
    time = Column("ratio", "seconds a picture, ratio", "", "lower", ranked=False)  # no defence is quicker
    figures.append((time, lambda row: time_of(finished.exams(row))))
    return _table(finished, f"{listing.name}-{COST}", f"{listing.title}: what it costs", figures, notes)


def time_of(exams: Sequence[Outcome]) -> Entry:
    """How much longer the protected models take to draw the same pictures; n counts pairs of batches."""
    runs = [[values(it.measured["time"])] for it in exams if "time" in it.measured]
    if not runs:
        return NOWHERE
    interval = hierarchical_bootstrap(lambda means: means["it"], {"it": runs}, seed=0)
    return entry_of(interval, sum(len(it[0]) for it in runs))


def _table(
    finished: Finished, name: str, title: str, figures: Sequence[Figure], notes: tuple[str, ...]
) -> Table:
    lines = [
        Line(row.label, row.role, tuple(entry(row) for _, entry in figures), finished.missing(row))
        for row in finished.listing.rows
    ]
    columns = tuple(column for column, _ in figures)
    return Table(name, finished.listing.size, title, columns, marked(columns, lines), notes)


def of_renders(measured: Mapping[str, Measured]) -> list[str]:
    """How far the judges themselves are right, where the scenes of the captions can be rendered."""
    if not {"renders clip", "renders tifa"} <= measured.keys():
        return []
    clip, right = (float(values(measured[f"renders {name}"]).mean()) for name in ("clip", "tifa"))
    return [
        f"The judges give renders of the captioned scenes themselves a CLIP score of {clip:.4f} and a TIFA "
        f"of {100 * right:.2f} %."
    ]


def attacks_of(finished: Finished) -> str:
    """Such as "4 subjects, 1 attack seed each"."""
    runs = [runs for row in finished.listing.rows for by in row.cells.values() for runs in by]
    done = [finished.found[digest].cell for several in runs for digest in several if digest in finished.found]
    subjects = {(str(cell["class_noun"]), str(cell["subject"])) for cell in done}
    seeds = {str(cell["seed"]) for cell in done}
    return f"{many(len(subjects), 'subject')}, {many(len(seeds), 'attack seed')} each"


def notes(finished: Finished) -> tuple[str, ...]:
    listing, unprotected = finished.listing, finished.unprotected
    measured = unprotected.measured
    prompts = sum(len(measured[task].values) for task in tasks_of("geneval", unprotected))
    models = len({it.digest for row in listing.rows for it in finished.exams(row)}) - 1
    by = [it for outcome in finished.found.values() for it in outcome.provenance]
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
        f"protected subject ({attacks_of(finished)}), against the same attack on the unprotected model and "
        "that model's pictures of the class before any attack.",
        "A strength ratio is how far the attack by somebody else, with one seed, gets on the protected "
        "model, over how far on the unprotected one: 1 is unharmed. Told apart: the share of a neighbour's "
        "pictures that are more like it than the protected. The same others attack several models, which an "
        "interval takes for so many others: those of the ratios are narrower than they should be.",
        f"{len(finished.found)} cells, {finished.left} more not finished; "
        f"evaluation {unprotected.evaluation}, {code_of(by[0])}; "
        f"made on {'; '.join(sorted({it.device for it in by}))}.",
        *([listing.note] if listing.note else []),
    )
