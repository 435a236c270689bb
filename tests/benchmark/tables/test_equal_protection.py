"""Costs at equal protection: who is compared, in which order, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apdm.benchmark.tables.equal_protection import equal_table, place_in
from apdm.benchmark.tables.outcome import Listing
from apdm.benchmark.tables.table import Column, Entry, Line, Table

COLUMNS = (
    Column("similarity", "similarity (judge)", "", "lower"),
    Column("ratio", "protection rate", "", "higher"),
    Column("fid change", "FID, change", "", "lower", ranked=False),
    Column("clip change", "CLIP score, change", "", "higher", ranked=False),
    Column("ratio", "same class, strength ratio", "", "higher", ranked=False),
    Column("ratio", "neighbour, strength ratio", "", "higher", ranked=False),
)
ABOVE, BELOW = Entry(0.0, -0.1, 0.1), Entry(-0.2, -0.3, -0.1)


def line(
    label: str, rate: tuple[float, float], fid: float, clip: float, same: float | None, **kept: object
) -> Line:
    """`rate` with its lower end."""
    entries = (Entry(0.5), Entry(rate[0], rate[1], 1.0, 8, "best"), Entry(fid), Entry(clip), Entry(same))
    return Line(
        label, str(kept.get("role", "placebo")), (*entries, Entry(0.5)), int(str(kept.get("missing", 0)))
    )


OURS = line("ours", (0.3, 0.1), 2.0, -0.1, 0.8, role="defence")
CHEAP = line("cheap", (0.4, 0.2), 1.0, -0.2, 1.1)
DEAR = line("dear", (0.9, 0.8), 9.0, -0.3, 1.2)
PLAIN = line("plain", (0.0, 0.0), 0.0, 0.0, 1.0, role="control")


@pytest.fixture
def equal(make_listing: Callable[..., Listing]) -> Callable[..., Table]:
    """The table of these lines; some protect `less` than ours, of some that is `unknown`."""

    def make(*lines: Line, less: tuple[str, ...] = (), unknown: tuple[str, ...] = ()) -> Table:
        costs = Table("table2-cost", "toy", "t", COLUMNS, lines, ("a note",))
        known = [it.label for it in lines if it.label not in ("ours", *unknown)]
        beyond = {it: BELOW if it in less else ABOVE for it in known}
        return equal_table(make_listing(name="table2"), costs, beyond, "ours")

    return make


def test_rows_stand_by_their_mean_place_the_least_harmful_first(equal: Callable[..., Table]) -> None:
    """Places in FID, CLIP and strength: cheap 1, 2, 1; ours 2, 1, 3; dear 3, 3, 1: strength above 1 is 1."""
    table = equal(PLAIN, OURS, DEAR, CHEAP)
    assert table.name == "table2-equal"
    assert [it.name for it in table.columns] == [
        "protection rate",
        "beyond that of ours",
        "mean place",
        "FID, change",
        "CLIP score, change",
        "same class, strength ratio",
    ]
    found = [(it.label, it.entries[2].value) for it in table.lines]
    assert found == [("cheap", pytest.approx(4 / 3)), ("ours", 2.0), ("dear", pytest.approx(7 / 3))]
    assert [[it.mark for it in line.entries] for line in table.lines] == [
        ["", "", "", "best", "second", "best"],
        ["", "", "", "second", "best", ""],
        ["", "", "", "", "", "best"],
    ]
    assert [it.entries[1] for it in table.lines] == [ABOVE, Entry(None), ABOVE]
    assert [it.role for it in table.lines] == ["placebo", "defence", "placebo"]
    assert "the rate of ours, the first defence" in table.notes[0]
    assert "mean of their places in 3 columns" in table.notes[0]
    assert table.notes[1:] == ("a note",)


def test_what_protects_less_is_named_and_not_compared(equal: Callable[..., Table]) -> None:
    none = line("none", (0.01, -0.1), 0.0, 0.0, 1.0)
    at_zero = line("zero", (0.02, 0.0), 0.0, 0.0, 1.0)
    less = line("less", (0.1, 0.05), 0.0, 0.0, 1.0)
    begun = line("begun", (0.5, 0.4), 0.0, 0.0, 1.0, missing=2)
    undefined = line("undefined", (0.5, float("-inf")), 0.0, 0.0, 1.0)
    table = equal(PLAIN, none, at_zero, less, begun, OURS, undefined, CHEAP, less=("less",))
    assert [it.label for it in table.lines] == [
        "cheap",
        "ours",
        "begun",
        "undefined, not shown to protect",
        "less, shown to protect less",
        "zero, not shown to protect",
        "none, not shown to protect",
    ]
    assert [it.entries[0].value for it in table.lines] == [0.4, 0.3, 0.5, 0.5, 0.1, 0.02, 0.01]
    assert {it.mark for line in table.lines for it in line.entries[:3]} == {""}
    assert {it for line in table.lines[2:] for it in line.entries[2:]} == {Entry(None)}


def test_an_undefined_rate_does_not_disturb_the_order(equal: Callable[..., Table]) -> None:
    undefined = line("undefined", (float("nan"), float("nan")), 0.0, 0.0, 1.0)
    low, high = (line(f"rate {rate}", (rate, -0.1), 0.0, 0.0, 1.0) for rate in (-0.2, 0.3))
    order = [it.label.partition(",")[0] for it in equal(PLAIN, OURS, low, undefined, high).lines]
    assert order == ["ours", "rate 0.3", "rate -0.2", "undefined"]


def test_one_row_alone_has_no_place(equal: Callable[..., Table]) -> None:
    (only,) = equal(PLAIN, OURS).lines
    assert only.entries[2:] == (Entry(None), Entry(2.0), Entry(-0.1), Entry(0.8))


def test_a_column_that_not_all_have_ranks_nobody(equal: Callable[..., Table]) -> None:
    bare = line("bare", (0.4, 0.2), 1.0, -0.2, None)
    table = equal(OURS, bare, DEAR)
    assert [(it.label, it.entries[2].value) for it in table.lines] == [
        ("ours", 1.5),
        ("bare", 1.5),
        ("dear", 3.0),
    ]
    assert [it.entries[-1].mark for it in table.lines] == ["", "", ""]


def test_nothing_protects(equal: Callable[..., Table]) -> None:
    assert equal(PLAIN).lines == ()


def test_nobody_is_equal_to_a_defence_that_is_not_finished(equal: Callable[..., Table]) -> None:
    table = equal(PLAIN, OURS, CHEAP, unknown=("cheap",))
    assert [it.label for it in table.lines] == ["ours", "cheap, not comparable before ours is finished"]


def test_a_harm_that_is_not_defined_has_no_place() -> None:
    column = COLUMNS[4]
    every = [Entry(float("nan")), Entry(0.9), Entry(0.5)]
    assert [place_in(column, own, every) for own in every[1:]] == [0, 0]


def test_its_marks_are_places(equal: Callable[..., Table]) -> None:
    assert equal(PLAIN, OURS, CHEAP).legend.startswith("Place 1 bold, place 2 underlined")
