"""From finished cells to a table: means over subjects and seeds with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from apdm.benchmark.record import Provenance
from apdm.benchmark.tables.outcome import ListedRow, Listing, Outcome, read_outcome, record_path
from apdm.benchmark.tables.table import ALL, CONTROLS, PUBLISHED, Column, Entry, Line, Table, marked
from apdm.errors import InputError
from apdm.metrics.statistics import hierarchical_bootstrap

Runs = list[list[np.ndarray]]  # [subject][seed]: a value of each picture


def tabulate(listing: Listing, folder: Path) -> Table:
    """The table of `listing` from the records in `folder`; cells that are not finished are left out and
    counted. Raises `InputError` for a damaged record, for records of two commits or versions of the
    evaluation, and if no cell is finished."""
    wanted = {digest for row in listing.rows for digest in digests_of(row)}
    found = {digest: it for digest in wanted if (it := read_outcome(folder, digest)) is not None}
    if not found:
        raise InputError(
            f"no cell of '{listing.name}' at size {listing.size} is finished", fix="run apdm bench"
        )
    refuse_mixtures(list(found.values()))
    columns = columns_of(listing, found)
    lines = [
        Line(
            row.label,
            row.role,
            tuple(entry(row, column, found) for column in columns),
            missing=len(set(digests_of(row)) - found.keys()),
        )
        for row in listing.rows
    ]
    return Table(
        listing.name,
        listing.size,
        listing.title,
        columns,
        tuple(lines) if listing.controls else marked(columns, lines),
        notes(listing, found, len(wanted) - len(found)),
    )


def any_finished(listing: Listing, folder: Path) -> bool:
    return any(record_path(folder, digest).exists() for row in listing.rows for digest in digests_of(row))


def digests_of(row: ListedRow) -> list[str]:
    return [digest for subjects in row.cells.values() for runs in subjects for digest in runs]


def refuse_mixtures(outcomes: Sequence[Outcome]) -> None:
    """Raises `InputError` unless one code and one version of the evaluation made them all."""
    versions = sorted({it.evaluation for it in outcomes})
    codes = sorted({code_of(it) for outcome in outcomes for it in outcome.provenance})
    fix = "run the scenario again in a new folder"
    if len(versions) > 1:
        raise InputError(f"the records are of evaluations {', '.join(map(str, versions))}", fix=fix)
    if len(codes) > 1:
        raise InputError(f"the records and their works are of commits {', '.join(codes)}", fix=fix)


def columns_of(listing: Listing, found: Mapping[str, Outcome]) -> tuple[Column, ...]:
    """For each metric, each class attacked and, last, all of them together: ours, if wanted the controls',
    and the published one."""
    ours = list(dict.fromkeys(noun for row in listing.rows for noun in row.cells))
    ours += [ALL] if len(ours) > 1 else []
    judges, toys = judges_of(found), any(it.cell["model"] == "toybox" for it in found.values())
    columns: list[Column] = []
    for metric, better in listing.better.items():
        theirs = list(dict.fromkeys(noun for row in listing.rows for noun in row.published.get(metric, {})))
        name, published = (judges, "DINO") if metric == "similarity" else ("BRISQUE", "BRISQUE")
        ranked = not (toys and metric == "brisque")  # which says nothing of the Toybox's 64 pixels
        for noun in sorted(dict.fromkeys([*ours, *theirs]), key=lambda it: it == ALL):
            if noun in ours:
                columns.append(Column(metric, name, noun, better, ranked=ranked))
            if noun in ours and listing.controls:
                columns.append(Column(metric, name, noun, better, CONTROLS))
            if noun in theirs:
                columns.append(Column(metric, published, noun, better, PUBLISHED))
    return tuple(columns)


def judges_of(found: Mapping[str, Outcome]) -> str:
    """The names of the networks that similarity was seen by."""
    return ", ".join(sorted({outcome.measured["similarity"].extractor for outcome in found.values()}))


def entry(row: ListedRow, column: Column, found: Mapping[str, Outcome]) -> Entry:
    """The row's figure in the column. Subjects count alike, and of each its seeds."""
    if column.kind == PUBLISHED:
        return Entry(row.published.get(column.metric, {}).get(column.class_noun))
    nouns = list(row.cells) if column.class_noun == ALL else [column.class_noun]
    subjects = [runs for noun in nouns for runs in row.cells.get(noun, ())]
    runs: Runs = []
    for digests in subjects:
        seeds = [
            values
            for digest in dict.fromkeys(digests)  # without an attack all seeds are one and the same cell
            if digest in found and len(values := _values(found[digest], column))
        ]
        if seeds:
            runs.append(seeds)
    if not runs:
        return Entry(None)
    interval = hierarchical_bootstrap(lambda means: means["it"], {"it": runs}, seed=0)
    n = sum(len(values) for seeds in runs for values in seeds)
    return Entry(interval.value, interval.low, interval.high, n)


def notes(listing: Listing, found: Mapping[str, Outcome], missing: int) -> tuple[str, ...]:
    outcomes = list(found.values())
    by = [it for outcome in outcomes for it in outcome.provenance]
    models = sorted({str(it.cell["model"]) for it in outcomes})
    told = [
        f"Model {', '.join(models)}; {judges_of(found)}: mean cosine of its features to "
        f"{compared_with(listing)}.",
        f"{'; '.join(_counted(noun, listing, found) for noun in _attacked(listing))}. Means over them with "
        "95 % bootstrap intervals over subjects, attack seeds and pictures; nothing is selected. A level "
        "with one member adds nothing to an interval; with two or three it is narrower than it should be.",
        *_flat(outcomes),
        "A control is the same attack with clean photos on the unprotected model.",
        *_published(listing),
        f"{len(outcomes)} cells, {missing} more not finished; evaluation {outcomes[0].evaluation}, "
        f"{code_of(by[0])}; made on {'; '.join(sorted({it.device for it in by}))}.",
    ]
    return (*told, listing.note) if listing.note else tuple(told)


def compared_with(listing: Listing) -> str:
    return "the photos trained on, as in the paper" if listing.same_images else "held-out photos"


def _attacked(listing: Listing) -> list[str]:
    return list(dict.fromkeys(noun for row in listing.rows for noun in row.cells))


def _counted(noun: str, listing: Listing, found: Mapping[str, Outcome]) -> str:
    """Such as "dog: 2 subjects, 2 attack seeds, 16 pictures each"."""
    runs = [runs for row in listing.rows for runs in row.cells.get(noun, ())]
    done = [found[digest] for several in runs for digest in several if digest in found]
    subjects = {str(it.cell["subject"]) for it in done}
    seeds = {str(it.cell["seed"]) for it in done}
    pictures = sorted({len(it.measured["similarity"].values) for it in done})
    counted = (many(len(subjects), "subject"), many(len(seeds), "attack seed"))
    return f"{noun}: {', '.join(counted)}, {' or '.join(map(str, pictures))} pictures each"


def many(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _flat(outcomes: Sequence[Outcome]) -> list[str]:
    """Says how many pictures have no BRISQUE, if any."""
    every = [value for it in outcomes for value in it.measured["brisque"].values]
    flat = every.count(None)
    return [f"{flat} of {len(every)} pictures are flat, or all but, and have no BRISQUE."] if flat else []


def _published(listing: Listing) -> list[str]:
    if not any(row.published for row in listing.rows):
        return []
    return [
        f"Published: the paper's figures on {listing.published_on}, similarity by DINO: another model and "
        "other subjects, so only orders and distances compare."
    ]


def _values(outcome: Outcome, column: Column) -> np.ndarray:
    measured = outcome.control if column.kind == CONTROLS else outcome.measured
    return np.array([value for value in measured[column.metric].values if value is not None])


def code_of(provenance: Provenance) -> str:
    return said_of(provenance.commit, provenance.dirty)


def said_of(commit: str, dirty: bool) -> str:
    """How a message names code."""
    return f"{commit[:12]}{' with uncommitted changes' if dirty else ''}"
