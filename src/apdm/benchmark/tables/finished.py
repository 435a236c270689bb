"""What is finished of a listing whose models have exams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from apdm.benchmark.tables.outcome import ListedRow, Listing, Outcome, read_outcome, record_path
from apdm.benchmark.tables.table import CONTROL
from apdm.benchmark.tables.tabulate import digests_of, refuse_mixtures
from apdm.errors import InputError


@dataclass(frozen=True)
class Finished:
    """The records of a listing that are there, by digest. The unprotected model's exam is among them."""

    listing: Listing
    found: Mapping[str, Outcome]

    @property
    def unprotected(self) -> Outcome:
        return self.found[unprotected_exam(self.listing)]

    @property
    def attacks(self) -> dict[str, Outcome]:
        return {digest: it for digest, it in self.found.items() if it.control}

    @property
    def left(self) -> int:
        """How many records are not there."""
        return len(every_record(self.listing)) - len(self.found)

    def exams(self, row: ListedRow) -> list[Outcome]:
        """Of the row's models, each once."""
        return [self.found[digest] for digest in exams_of(row) if digest in self.found]

    def missing(self, row: ListedRow) -> int:
        """With what was drawn before the row's attacks, on which its rates rest."""
        before = {self.listing.before[it] for it in every_digest(row) if it in self.listing.before}
        return len((every_digest(row) | before) - self.found.keys())


def read_finished(listing: Listing, folder: Path) -> Finished:
    """From the records in `folder`. Raises `InputError` for a listing of an earlier form, where the
    unprotected model has no exam yet, and as `refuse_mixtures` does."""
    check_form(listing)
    found = {it: outcome for it in every_record(listing) if (outcome := read_outcome(folder, it)) is not None}
    if unprotected_exam(listing) not in found:
        what = f"the unprotected model of '{listing.name}' has no exam yet"
        raise InputError(what, fix="go on with apdm bench")
    refuse_mixtures(list(found.values()))
    return Finished(listing, found)


def any_examined(listing: Listing, folder: Path) -> bool:
    """Whether the unprotected model has its exam, so that there is something to compare with. Raises
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


def every_record(listing: Listing) -> set[str]:
    return set(listing.before.values()).union(*(every_digest(row) for row in listing.rows))
