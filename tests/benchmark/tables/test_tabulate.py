"""A table's arithmetic, written out, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from apdm.benchmark.record import Provenance
from apdm.benchmark.tables.tabulate import tabulate
from apdm.errors import InputError

BY = Provenance("a" * 40, False, "cpu, 1 thread", {"torch": "2"})


@pytest.fixture
def two_subjects(tmp_path: Path, make_outcome, make_listing):
    """Rex was attacked twice, Ada once; Tom, a cat, once."""
    make_outcome("rex-0", [0.1, 0.3], [10.0, None], control=[0.9], folder=tmp_path)
    make_outcome("rex-1", [0.5, 0.5, 0.8], [30.0], control=[0.7], folder=tmp_path)
    make_outcome("ada-0", [1.0], [None], control=[0.5], folder=tmp_path)
    make_outcome("tom-0", [0.0], [7.0], control=[0.1], folder=tmp_path)
    cells = {"dog": (("rex-0", "rex-1"), ("ada-0",)), "cat": (("tom-0",),)}
    return make_listing(
        ("cloak", "defence", cells, {"similarity": {"dog": 0.42, "lion": 0.5}}),
        ("other", "defence", {"dog": (("tom-0",),), "cat": (("ada-0",),)}, {}),
    )


def values(table, line: int = 0, kind: str = "ours") -> dict[tuple[str, str], float | None]:
    return {
        (column.metric, column.class_noun): entry.value
        for column, entry in zip(table.columns, table.lines[line].entries, strict=True)
        if column.kind == kind
    }


def test_subjects_count_alike_and_of_each_its_seeds(tmp_path: Path, two_subjects) -> None:
    found = values(tabulate(two_subjects, tmp_path))
    rex = ((0.1 + 0.3) / 2 + (0.5 + 0.5 + 0.8) / 3) / 2  # (0.2 + 0.6) / 2
    assert found["similarity", "dog"] == pytest.approx((rex + 1.0) / 2)
    assert found["similarity", "cat"] == 0.0
    assert found["similarity", "all"] == pytest.approx((rex + 1.0 + 0.0) / 3)
    assert found["brisque", "dog"] == pytest.approx(
        (10.0 + 30.0) / 2
    )  # flat pictures have none; Ada has only such
    assert found["brisque", "all"] == pytest.approx((20.0 + 7.0) / 2)


def test_controls_are_tabulated_alike(tmp_path: Path, two_subjects) -> None:
    table = tabulate(replace(two_subjects, controls=True), tmp_path)
    found = values(table, kind="controls")
    assert found["similarity", "dog"] == pytest.approx(((0.9 + 0.7) / 2 + 0.5) / 2)
    assert found["brisque", "cat"] == 20.0
    assert values(table)["similarity", "cat"] == 0.0


def test_intervals_hold_the_mean_and_widen_with_the_spread(tmp_path: Path, two_subjects) -> None:
    table = tabulate(two_subjects, tmp_path)
    dog = table.lines[0].entries[0]
    assert (dog.n, dog.value) == (6, pytest.approx(0.7))
    assert dog.low is not None
    assert dog.high is not None
    assert 0.1 <= dog.low < 0.5
    assert dog.high == 1.0  # Ada alone
    cat = next(e for c, e in zip(table.columns, table.lines[0].entries, strict=True) if c.class_noun == "cat")
    assert (cat.low, cat.high) == (0.0, 0.0)


def test_published_figures_stand_beside_ours(tmp_path: Path, two_subjects) -> None:
    columns = tabulate(two_subjects, tmp_path).columns
    told = [(c.name, c.class_noun, c.kind) for c in columns if c.metric == "similarity"]
    assert told == [
        ("judge", "dog", "ours"),
        ("DINO", "dog", "published"),
        ("judge", "cat", "ours"),
        ("DINO", "lion", "published"),
        ("judge", "all", "ours"),
    ]
    assert values(tabulate(two_subjects, tmp_path), kind="published") == {
        ("similarity", "dog"): 0.42,
        ("similarity", "lion"): 0.5,
    }
    assert values(tabulate(two_subjects, tmp_path), 1, "published")["similarity", "dog"] is None


def test_the_best_is_marked(tmp_path: Path, two_subjects) -> None:
    table = tabulate(two_subjects, tmp_path)
    marks = [[entry.mark for entry in line.entries] for line in table.lines]
    assert (marks[0][0], marks[1][0]) == ("second", "best")  # 0.7 and 0.0, the lower is the better


def test_unfinished_cells_are_left_out_and_counted(tmp_path: Path, two_subjects) -> None:
    (tmp_path / "records" / "rex-1.json").unlink()
    table = tabulate(two_subjects, tmp_path)
    assert values(table)["similarity", "dog"] == pytest.approx((0.2 + 1.0) / 2)
    assert (table.lines[0].missing, table.lines[1].missing) == (1, 0)
    assert any("3 cells, 1 more not finished" in note for note in table.notes)
    for path in (tmp_path / "records").glob("*.json"):
        path.unlink()
    with pytest.raises(InputError, match="no cell of 'small' at size toy is finished"):
        tabulate(two_subjects, tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"evaluation": 99}, "the records are of evaluations 1, 99"),
        ({"provenance": (replace(BY, commit="b" * 40),)}, "of commits aaaaaaaaaaaa, bbbbbbbbbbbb: run"),
        ({"provenance": (BY, replace(BY, commit="b" * 40))}, "of commits aaaaaaaaaaaa, bbbbbbbbbbbb"),
        ({"provenance": (replace(BY, dirty=True),)}, "aaaaaaaaaaaa with uncommitted changes"),
    ],
)
def test_mixtures_are_refused(tmp_path: Path, two_subjects, make_outcome, changes, said: str) -> None:
    make_outcome("tom-0", [0.0], folder=tmp_path, **changes)
    with pytest.raises(InputError, match=said):
        tabulate(two_subjects, tmp_path)


def test_other_devices_are_no_mixture_but_are_said(tmp_path: Path, two_subjects, make_outcome) -> None:
    make_outcome("tom-0", [0.0], folder=tmp_path, provenance=(replace(BY, device="a GPU"),))
    assert "made on a GPU; cpu, 1 thread" in " ".join(tabulate(two_subjects, tmp_path).notes)


def test_a_damaged_record_is_named(tmp_path: Path, two_subjects) -> None:
    (tmp_path / "records" / "rex-1.json").write_text("{")
    with pytest.raises(InputError, match=r"rex-1\.json is not JSON .*: delete it"):
        tabulate(two_subjects, tmp_path)


def test_a_cell_that_stands_for_every_seed_counts_once(tmp_path: Path, make_outcome, make_listing) -> None:
    """Without an attack its seed is in no digest."""
    make_outcome("none-0", [0.2, 0.4], folder=tmp_path)
    twice = tabulate(make_listing(("none", "placebo", {"dog": (("none-0", "none-0"),)}, {})), tmp_path)
    once = tabulate(make_listing(("none", "placebo", {"dog": (("none-0",),)}, {})), tmp_path)
    assert twice.lines == once.lines
    assert twice.lines[0].entries[0].n == 2


@pytest.mark.parametrize(
    ("changes", "model", "similarity", "brisque"),
    [
        ({}, "some/model", True, True),
        ({}, "toybox", True, False),
        ({"size": "real"}, "toybox", True, False),  # of photographs it draws 64 pixels too
        ({"controls": True}, "some/model", False, False),
    ],
)
def test_marks_stand_only_where_like_is_compared(
    tmp_path: Path, make_outcome, two_subjects, changes, model: str, similarity: bool, brisque: bool
) -> None:
    """Not between rows that are attacked differently, and not by BRISQUE on what the Toybox draws."""
    make_outcome("ada-0", [1.0], [3.0], control=[0.5], folder=tmp_path)
    for record in (tmp_path / "records").glob("*.json"):
        record.write_text(record.read_text().replace('"toybox"', f'"{model}"'))
    table = tabulate(replace(two_subjects, **changes), tmp_path)
    marked = {
        metric: any(
            entry.mark
            for line in table.lines
            for column, entry in zip(table.columns, line.entries, strict=True)
            if column.metric == metric
        )
        for metric in ("similarity", "brisque")
    }
    assert marked == {"similarity": similarity, "brisque": brisque}


def test_the_notes_say_on_what_figures_rest(tmp_path: Path, two_subjects) -> None:
    told = " ".join(tabulate(two_subjects, tmp_path).notes)
    assert "dog: 3 subjects, 2 attack seeds, 1 or 2 or 3 pictures each" in told
    assert "to held-out photos." in told
    assert "2 of 5 pictures are flat, or all but, and have no BRISQUE" in told
    same = " ".join(tabulate(replace(two_subjects, same_images=True), tmp_path).notes)
    assert "to the photos trained on, as in the paper." in same
    bare = replace(two_subjects, rows=tuple(replace(row, published={}) for row in two_subjects.rows))
    assert "Published" not in " ".join(tabulate(bare, tmp_path).notes)
