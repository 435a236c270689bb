"""A table as it is to be read: figures by row and column, the best marked. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

CONTROL, DEFENCE, PLACEBO = "control", "defence", "placebo"  # roles of rows
BEST, SECOND = "best", "second"
OURS, CONTROLS, PUBLISHED = "ours", "controls", "published"
ALL = "all"  # the column of all classes together


ARROWS = "↑ higher is better, ↓ lower is."
LEGEND = (
    "Best defence bold, second best underlined, by the value alone: where intervals overlap, neither is "
    f"shown to be better. {ARROWS}"
)


@dataclass(frozen=True)
class Column:
    """One metric of one class, `name` being its own or its judge's; `better` is higher, lower or nothing.
    `kind` says whose figures they are: ours, those of our controls, or the published ones. Where nobody is
    `ranked`, the best figure is no merit, or says nothing."""

    metric: str
    name: str
    class_noun: str
    better: str
    kind: str = OURS
    ranked: bool = True


@dataclass(frozen=True)
class Entry:
    """A figure with its 95 % interval and the number behind it: of pictures; of TIFA of captions, of GenEval
    of prompts, both once a model, and of time of pairs of batches. A published one is only a value. None:
    nothing is there."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    mark: str = ""


@dataclass(frozen=True)
class Line:
    label: str
    role: str
    entries: tuple[Entry, ...]
    """One for each column."""
    missing: int = 0
    """Cells that are not finished."""


@dataclass(frozen=True)
class Table:
    """A scenario's table. `notes` say on what the figures rest, the `legend` what its marks mean."""

    name: str
    size: str
    title: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    legend: str = LEGEND

    @property
    def explained(self) -> str:
        """What its arrows mean, and its marks if it has any."""
        return self.legend if any(it.mark for line in self.lines for it in line.entries) else ARROWS


def marked(columns: Sequence[Column], lines: Sequence[Line]) -> tuple[Line, ...]:
    """The lines with the best and the second best defence of each ranked column of ours marked; equals share
    a mark.

    Controls, placebos and unfinished rows are not in the running, nor is a rate that is not defined; one
    defence alone has nothing to be better than.
    """
    marks: dict[tuple[int, int], str] = {}
    for number, column in enumerate(columns):
        if column.kind != OURS or not column.ranked:
            continue
        found = {
            place: value
            for place, line in enumerate(lines)
            if line.role == DEFENCE and not line.missing
            if (value := line.entries[number].value) is not None and isfinite(value)
        }
        ranked = sorted(set(found.values()), reverse=column.better == "higher")
        if len(found) > 1:
            for mark, value in zip((BEST, SECOND), ranked, strict=False):
                marks |= {(place, number): mark for place, it in found.items() if it == value}
    return tuple(
        replace(
            line,
            entries=tuple(
                replace(entry, mark=marks.get((place, number), ""))
                for number, entry in enumerate(line.entries)
            ),
        )
        for place, line in enumerate(lines)
    )
