"""Figures of attacks on a row's models, by its own subjects and by others, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from apdm.benchmark.tables.finished import Finished
from apdm.benchmark.tables.marks import NOWHERE, entry_of, values
from apdm.benchmark.tables.outcome import TO_OWNER, ListedRow, Measured
from apdm.benchmark.tables.table import CONTROL, Entry
from apdm.metrics.statistics import Means, Statistic, hierarchical_bootstrap, protection_rate, rate_beyond

RATED = ("protected", "unprotected", "class")  # what a rate or a ratio rests on
APART = ("apart", "apart unprotected")


def attacked(
    finished: Finished, statistic: Statistic, rests_on: Sequence[str], sort: str | None, row: ListedRow
) -> Entry:
    """The statistic over the row's subjects; of each, all attacks on its model count alike of which there is
    what it `rests_on`."""
    cells: dict[str, list[list[np.ndarray]]] = {key: [] for key in rests_on}
    for noun, subjects in row.cells.items():
        for number, own in enumerate(subjects):
            members = [own] if sort is None else row.models[noun][number].others.get(sort, ())
            digests = [digest for runs in members for digest in runs]
            known = {it: found for it in digests if (found := of_attack(finished, it)).keys() >= {*rests_on}}
            for key in rests_on if known else ():
                cells[key].append(runs_of(finished, key, known))
    return figure_of(statistic, cells)


def rate_of(finished: Finished, row: ListedRow) -> Entry:
    """Nothing of the control, which would be compared with itself."""
    return NOWHERE if row.role == CONTROL else attacked(finished, protection_rate, RATED, None, row)


def beyond_of(finished: Finished, first: ListedRow, row: ListedRow) -> Entry:
    """The row's protection rate less that of the row `first`, by the same attacks on the same subjects."""
    cells: dict[str, list[list[np.ndarray]]] = {key: [] for key in (*RATED, "rival")}
    for own, others in zip(subjects_of(row), subjects_of(first), strict=True):
        pairs = zip(own, (of_attack(finished, it) for it in others), strict=True)
        known = {
            digest: it | {"rival": other["protected"]}
            for digest, other in pairs
            if other and {*RATED} <= (it := of_attack(finished, digest)).keys()
        }
        for key in cells if known else ():
            cells[key].append(runs_of(finished, key, known))
    return figure_of(rate_beyond, cells)


def subjects_of(row: ListedRow) -> list[tuple[str, ...]]:
    """Of each subject the digests of its seeds."""
    return [runs for subjects in row.cells.values() for runs in subjects]


def told_apart_change(means: Means) -> Float64[np.ndarray, "draws"]:
    return means["apart"] - means["apart unprotected"]


def runs_of(finished: Finished, key: str, known: Mapping[str, Mapping[str, np.ndarray]]) -> list[np.ndarray]:
    """One of each attack; what the model drew before any attack counts once, however many began there."""
    before = finished.listing.before
    runs = {before[digest] if key == "class" else digest: it[key] for digest, it in known.items()}
    return list(runs.values())


def figure_of(statistic: Statistic, cells: dict[str, list[list[np.ndarray]]]) -> Entry:
    """The statistic of `cells`; n counts pictures of the first."""
    runs = [images for subject in next(iter(cells.values())) for images in subject]
    if not runs:
        return NOWHERE
    return entry_of(hierarchical_bootstrap(statistic, cells, seed=0), sum(map(len, runs)))


def of_attack(finished: Finished, digest: str) -> dict[str, np.ndarray]:
    """Similarities of an attack's pictures, of its control's and of those before any; and whether each is
    told apart from the protected subject. What is not finished is left out."""
    it, before = (finished.found.get(some) for some in (digest, finished.listing.before[digest]))
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
