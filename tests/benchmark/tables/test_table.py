"""Which entries are marked."""

from __future__ import annotations

import math
from dataclasses import replace

from apdm.benchmark.tables.table import Column, Entry, Line, marked

LOWER, HIGHER = Column("similarity", "judge", "dog", "lower"), Column("brisque", "BRISQUE", "dog", "higher")


def marks(*values: float | None, column: Column = LOWER, roles: str = "", missing: str = "") -> list[str]:
    """`roles` has a letter for each line, c or p for one that is no defence; `missing` an x."""
    names = {"c": "control", "p": "placebo"}
    lines = [
        Line(
            str(number),
            names.get(roles[number : number + 1], "defence"),
            (Entry(value),),
            missing=int(missing[number : number + 1] == "x"),
        )
        for number, value in enumerate(values)
    ]
    return [line.entries[0].mark for line in marked([column], lines)]


def test_best_and_second_best_in_the_direction_of_the_column() -> None:
    assert marks(0.3, 0.1, 0.2) == ["", "best", "second"]
    assert marks(0.3, 0.1, 0.2, column=HIGHER) == ["best", "", "second"]


def test_equals_share_a_mark() -> None:
    assert marks(0.1, 0.1, 0.2, 0.2, 0.3) == ["best", "best", "second", "second", ""]


def test_controls_placebos_and_unfinished_rows_are_not_in_the_running() -> None:
    assert marks(0.1, 0.2, 0.3, 0.4, roles="cdpd") == ["", "best", "", "second"]
    assert marks(0.1, 0.2, 0.3, missing="x") == ["", "best", "second"]
    for nothing in (None, math.nan, math.inf, -math.inf):
        assert marks(nothing, 0.2, 0.3) == ["", "best", "second"]


def test_one_defence_alone_is_not_marked() -> None:
    assert marks(0.1, 0.2, roles="cd") == ["", ""]


def test_published_figures_and_controls_are_not_marked() -> None:
    for kind in ("published", "controls"):
        assert marks(0.1, 0.2, column=Column("similarity", "DINO", "dog", "lower", kind)) == ["", ""]


def test_where_the_best_is_no_merit_nothing_is_marked() -> None:
    assert marks(0.1, 0.2, column=replace(LOWER, ranked=False)) == ["", ""]


def test_each_column_is_marked_by_itself() -> None:
    lines = [Line("a", "defence", (Entry(0.1), Entry(1.0))), Line("b", "defence", (Entry(0.2), Entry(2.0)))]
    found = marked([LOWER, HIGHER], lines)
    assert [[entry.mark for entry in line.entries] for line in found] == [
        ["best", "second"],
        ["second", "best"],
    ]
