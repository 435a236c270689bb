"""Costs at equal protection: of the rows that protect no less than the first defence, which harms least?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite
from statistics import mean

from apdm.benchmark.tables.marks import NOWHERE
from apdm.benchmark.tables.outcome import Listing
from apdm.benchmark.tables.preservation import OTHER, SAME
from apdm.benchmark.tables.table import ARROWS, BEST, CONTROL, SECOND, Column, Entry, Line, Table

EQUAL = "equal"  # of the table's name
RATE, STRENGTH = "protection rate", "{}, strength ratio"  # columns of the table of costs
HARMS = tuple(STRENGTH.format(sort) for sort in (SAME, OTHER))  # and all changes of marks
MARKED = {1: BEST, 2: SECOND}  # by place
NOTE = (
    "A row is compared if the 95 % interval of its protection rate lies above 0, and that of its difference "
    "to the rate of {first}, the first defence, not below 0: the same attacks on the same subjects. With few "
    "subjects that asks little: look at the rates, and at a method's weaker doses. Of the rows compared, "
    "placebos too, the one that costs least in a column has place 1 (bold), the next place 2 (underlined); "
    "a strength ratio above 1 counts as 1. Rows stand by the mean of their places in {columns} columns, a "
    "ranking of our choice."
)


@dataclass(frozen=True)
class Rival:
    """A row of the table of costs: its rate, by how much that is beyond the first defence's, its harms."""

    line: Line
    first: str
    """The first defence's label."""
    rate: Entry
    beyond: Entry
    harms: tuple[Entry, ...]

    @property
    def lacks(self) -> str:
        """Why its harms are not compared; empty if they are."""
        if self.line.missing:
            return "not finished"
        if not (self.rate.low or 0.0) > 0:
            return "not shown to protect"
        if self.line.label == self.first:
            return ""
        if self.beyond.high is None:
            return f"not comparable before {self.first} is finished"
        return "shown to protect less" if self.beyond.high < 0 else ""

    def ranked(self, columns: Sequence[Column], equal: Sequence[Rival]) -> Line:
        """With its places among those that protect as much."""
        places = [
            place_in(column, own, [it.harms[i] for it in equal])
            for i, (column, own) in enumerate(zip(columns, self.harms, strict=True))
        ]
        counted = [place for place in places if place]
        harms = [replace(it, mark=MARKED.get(at, "")) for it, at in zip(self.harms, places, strict=True)]
        entries = self.rate, self.beyond, Entry(mean(counted)) if counted else NOWHERE, *harms
        return replace(self.line, entries=entries)

    def unranked(self) -> Line:
        """Without its harms, and with the reason, which of unfinished rows is said already."""
        label = self.line.label if self.line.missing else f"{self.line.label}, {self.lacks}"
        entries = self.rate, self.beyond, *[NOWHERE] * (1 + len(self.harms))
        return replace(self.line, label=label, entries=entries)


def equal_table(listing: Listing, costs: Table, beyond: Mapping[str, Entry], first: str) -> Table:
    """The rows of `costs` that protect no less than the one called `first`, the least harmful first, and then
    the others. `beyond` says by label how much higher a row's rate is than that one's.

    Rows stand by the mean of their places in the columns of harm [our choice].
    """
    rate = next(i for i, column in enumerate(costs.columns) if column.name == RATE)
    harmed = [i for i, it in enumerate(costs.columns) if it.metric.endswith(" change") or it.name in HARMS]
    columns = [costs.columns[i] for i in harmed]
    rivals = [
        Rival(
            line,
            first,
            replace(line.entries[rate], mark=""),
            beyond.get(line.label, NOWHERE),
            tuple(line.entries[i] for i in harmed),
        )
        for line in costs.lines
        if line.role != CONTROL
    ]
    equal = [it for it in rivals if not it.lacks]
    ranked = [it.ranked(columns, equal) for it in equal]
    others = [it.unranked() for it in rivals if it.lacks]
    heads = (
        Column("ratio", RATE, "", "higher", ranked=False),
        Column("ratio", f"beyond that of {first}", "", "higher", ranked=False),
        Column("place", "mean place", "", "lower"),
    )
    return Table(
        f"{listing.name}-{EQUAL}",
        listing.size,
        f"{listing.title}: costs at equal protection",
        (*heads, *columns),
        (
            *sorted(ranked, key=lambda line: line.entries[2].value or 0.0),
            *sorted(others, key=lambda line: measured(line.entries[0]), reverse=True),
        ),
        (NOTE.format(first=first, columns=len(columns)), *costs.notes),
        f"Place 1 bold, place 2 underlined, of the rows compared. {ARROWS}",
    )


def measured(entry: Entry) -> float:
    """Its value; one that is undefined or not there stands below all that are."""
    return entry.value if entry.value is not None and isfinite(entry.value) else -inf


def place_in(column: Column, own: Entry, every: Sequence[Entry]) -> int:
    """1 and the number of those that do less harm; 0 where one alone is compared or not all were measured."""
    values = [harm(column, it.value) for it in every if it.value is not None and isfinite(it.value)]
    if own.value is None or len(values) < max(2, len(every)):
        return 0
    return 1 + sum(it < harm(column, own.value) for it in values)


def harm(column: Column, value: float) -> float:
    """Higher is worse; others who are personalised better than on the unprotected model are not harmed."""
    if column.metric == "ratio":
        return -min(value, 1.0)
    return -value if column.better == "higher" else value
