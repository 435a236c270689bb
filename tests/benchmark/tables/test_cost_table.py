"""Tables of exams from made-up records, whose figures are worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apdm.benchmark.record import Provenance
from apdm.benchmark.tables.cost_table import cost_tables
from apdm.benchmark.tables.finished import any_examined
from apdm.benchmark.tables.marks import mark
from apdm.benchmark.tables.outcome import (
    TO_OWNER,
    ListedModel,
    Listing,
    Measured,
    Outcome,
    record_path,
    write,
)
from apdm.benchmark.tables.preservation import NEIGHBOUR, OTHER, SAME
from apdm.benchmark.tables.table import Entry, Table
from apdm.errors import InputError


def measured(*values: float, by: str = "judge") -> Measured:
    return Measured(values, by, "0")


def marks(
    fid: float, clip: tuple[float, ...], tifa: tuple[float, ...], one: float, two: tuple[float, ...]
) -> dict[str, Measured]:
    """FID's halves lie 1 above it, all of them; KID's is a hundredth of it."""
    return {
        "fid": measured(fid, fid + 1, fid + 1),
        "kid": measured(fid / 100, fid / 100, fid / 100),
        "clip": measured(*clip),
        "tifa": Measured(tifa, "reader, verbatim", "0"),
        "tifa color": Measured((tifa[0],), "reader, verbatim", "0"),
        "tifa object": Measured(tifa, "reader, verbatim", "0"),
        "geneval single_object": measured(one),
        "geneval counting": measured(*two),
    }


Marks = Mapping[str, Measured]
SUBJECTS = ("rex", "fido", "same", "cat", "near")
EXAMS = {
    "plain": marks(20, (0.3, 0.2), (1.0, 0.5), 1.0, (1.0, 0.0, 0.0)),
    "first": marks(23, (0.2, 0.1), (0.5, 0.5), 0.5, (0.0, 0.0, 0.0)) | {"time": measured(1.0, 1.2)},
    "second": marks(25, (0.2, 0.1), (1.0, 0.0), 0.5, (0.0, 0.0, 0.0)) | {"time": measured(0.9, 0.9)},
}


@pytest.fixture
def keep(tmp_path: Path, make_outcome: Callable[..., Outcome]) -> Callable[..., None]:
    """Writes a record of `who`."""

    def write_down(digest: str, who: str, found: Marks, control: Marks, **changes: Any) -> None:
        cell = {"model": "toybox", "subject": who, "class_noun": "dog", "seed": 0}
        made = replace(make_outcome("it-0", [0.0]), digest=digest, cell=cell, measured=found, control=control)
        write(replace(made, **changes), record_path(tmp_path, digest))

    return write_down


@pytest.fixture
def folder(tmp_path: Path, keep: Callable[..., None]) -> Path:
    """Two subjects, a neighbour and others; attacks reach .8 on the unprotected model, from .2 before any."""

    def alike(level: float, *owner: float) -> Marks:
        found = {"similarity": measured(level, level), "brisque": measured(1.0)}
        return found | ({TO_OWNER: measured(*owner)} if owner else {})

    for name, found in EXAMS.items():
        keep(name, "", found, {})
    for who in ("rex", "fido"):
        keep(f"{who} plain", who, alike(0.8), alike(0.8))
        keep(f"{who} own", who, alike(0.5), alike(0.8))
        keep(f"same on {who}", "same", alike(0.6), alike(0.8))
        keep(f"cat on {who}", "cat", alike(0.7), alike(0.8))
        keep(f"near on {who}", "near", alike(0.4, 0.3, 0.9), alike(0.8, 0.1, 0.1))  # one of two told apart
    for who in SUBJECTS:
        keep(f"{who} before", who, alike(0.2), alike(0.2))
    return tmp_path


def models(*exams: str) -> dict[str, tuple[ListedModel, ...]]:
    """For rex and fido."""
    sorts = {SAME: "same", OTHER: "cat", NEIGHBOUR: "near"}
    others = [
        {sort: ((f"{other} on {who}",),) for sort, other in sorts.items()} if exam != "plain" else {}
        for exam, who in zip(exams, ("rex", "fido"), strict=True)
    ]
    return {"dog": tuple(map(ListedModel, exams, others))}


@pytest.fixture
def listing(make_listing: Callable[..., Listing]) -> Listing:
    plain, own = ({"dog": ((f"rex {how}",), (f"fido {how}",))} for how in ("plain", "own"))
    return make_listing(
        ("unprotected", "control", plain, {"clip": {"all": 0.2878}}, models("plain", "plain")),
        ("ours", "defence", own, {"clip": {"all": 0.2853}}, models("first", "second")),
        name="table2",
        before={
            **{f"{who} {how}": f"{who} before" for who in ("rex", "fido") for how in ("plain", "own")},
            **{
                f"{who} on {it}": f"{who} before" for who in ("same", "cat", "near") for it in ("rex", "fido")
            },
        },
    )


def entry(table: Table, label: str, column: str) -> Entry:
    place = next(i for i, it in enumerate(table.columns) if it.name.startswith(column) and it.kind == "ours")
    return next(line for line in table.lines if line.label == label).entries[place]


def test_marks_are_means_over_the_rows_models(folder: Path, listing: Listing) -> None:
    table, *_ = cost_tables(listing, folder)
    found = {name: entry(table, "ours", name) for name in ("FID", "KID", "CLIP", "TIFA", "GenEval")}
    assert {name: it.value for name, it in found.items()} == {
        "FID": pytest.approx(24.0),
        "KID": pytest.approx(0.24),
        "CLIP": pytest.approx(0.15),
        "TIFA": pytest.approx(50.0),  # per cent
        "GenEval": pytest.approx((0.5 + 0.0) / 2),  # the tasks count alike
    }
    assert {name: it.n for name, it in found.items()} == {
        "FID": 4,
        "KID": 4,
        "CLIP": 4,
        "TIFA": 4,
        "GenEval": 8,
    }
    plain = {name: entry(table, "unprotected", name).value for name in ("FID", "TIFA", "GenEval")}
    assert plain == {"FID": 20.0, "TIFA": 75.0, "GenEval": pytest.approx((1 + 1 / 3) / 2)}
    assert [it.name for it in table.columns if it.kind == "published"] == ["CLIP score"]
    assert [it.entries[3].value for it in table.lines] == [0.2878, 0.2853]
    assert [it.name for it in table.columns][3] == "CLIP score"
    assert table.columns[4].name == "TIFA, % (reader)"


def test_tifa_by_what_is_asked(folder: Path, listing: Listing) -> None:
    table = cost_tables(listing, folder)[2]
    assert table.title.endswith(": TIFA by what is asked (reader)")
    assert table.notes[0].startswith("Of each kind of question the mean, over the captions that ask it,")
    assert [it.name for it in table.columns] == ["color, %", "object, %"]
    found = [[(it.value, it.n) for it in line.entries] for line in table.lines]
    assert found == [[(100.0, 1), (75.0, 2)], [(75.0, 2), (50.0, 4)]]  # n counts captions, once a model


def test_changes_are_paired(folder: Path, listing: Listing) -> None:
    _, costs, *_ = cost_tables(listing, folder)
    clip = entry(costs, "ours", "CLIP")
    assert (clip.value, clip.low, clip.high) == pytest.approx((-0.1, -0.1, -0.1))  # each caption lost as much
    assert entry(costs, "ours", "TIFA").value == pytest.approx((-25.0 + -25.0) / 2)
    assert entry(costs, "ours", "GenEval").value == pytest.approx((-0.5 - 1 / 3) / 2)
    fid = entry(costs, "ours", "FID")
    assert fid.value == pytest.approx(4.0)
    assert fid.high is not None
    assert fid.high - 4.0 == pytest.approx(1.96 * 0.5**0.5, rel=0.05)  # of models: 3 and 5, redrawn
    assert entry(costs, "unprotected", "CLIP").value is None


def test_distances_are_compared_half_by_half(make_outcome: Callable[..., Outcome]) -> None:
    """Each half of the one lies 3 above the same half of the other, wherever that lies."""
    plain, ours = (
        replace(make_outcome("it-0", [0.0]), measured={"fid": measured(*fid), "clip": measured(0.1, 0.2)})
        for fid in ((20, 21, 25), (23, 24, 28))
    )
    assert mark("fid", [ours], against=plain) == Entry(3.0, 3.0, 3.0, 2)


def test_attacks_stand_beside_them(folder: Path, listing: Listing) -> None:
    _, costs, *_ = cost_tables(listing, folder)
    found = {it.name: entry(costs, "ours", it.name) for it in costs.columns}
    assert found["similarity (judge)"].value == pytest.approx(0.5)
    assert found["protection rate"].value == pytest.approx((0.8 - 0.5) / (0.8 - 0.2))
    assert found["same class, strength ratio"].value == pytest.approx((0.6 - 0.2) / (0.8 - 0.2))
    assert found["other class, strength ratio"].value == pytest.approx((0.7 - 0.2) / (0.8 - 0.2))
    assert found["neighbour, strength ratio"].value == pytest.approx((0.4 - 0.2) / (0.8 - 0.2))
    assert found["neighbour told apart, change"].value == pytest.approx(0.5 - 1.0)
    assert found["seconds a picture, ratio"].value == pytest.approx((1.1 + 0.9) / 2)
    assert {name: found[name].n for name in ("protection rate", "neighbour, strength ratio")} == {
        "protection rate": 4,
        "neighbour, strength ratio": 4,
    }
    assert found["seconds a picture, ratio"].n == 4
    bare = {it.name: entry(costs, "unprotected", it.name).value for it in costs.columns}
    assert (bare["similarity (judge)"], bare["protection rate"]) == (pytest.approx(0.8), None)
    assert bare["same class, strength ratio"] is bare["seconds a picture, ratio"] is None


def test_what_was_drawn_before_the_attacks_is_redrawn_once(
    folder: Path, listing: Listing, keep: Callable[..., None]
) -> None:
    """Likenesses 0, .2 and .4, for both seeds: in one redraw of 27 all three are the first. Were they redrawn
    for each seed by itself, it would be one of 729."""

    def likeness(*levels: float) -> Marks:
        return {"similarity": measured(*levels)}

    for digest in ("rex own", "rex again"):
        keep(digest, "rex", likeness(0.5), likeness(0.8))
    keep("rex before", "rex", likeness(0.0, 0.2, 0.4), likeness(0.2))
    for digest in ("rex weak", "rex weak again"):
        keep(digest, "rex", likeness(0.6), likeness(0.8))
    ours = replace(listing.rows[1], cells={"dog": (("rex own", "rex again"),)})
    weak = replace(ours, label="weak", cells={"dog": (("rex weak", "rex weak again"),)})
    before = dict.fromkeys(("rex again", "rex weak", "rex weak again"), "rex before")
    rows = listing.rows[0], ours, weak
    tables = cost_tables(replace(listing, rows=rows, before={**listing.before, **before}), folder)
    rate = entry(tables[1], "ours", "protection rate")
    assert (rate.value, rate.low, rate.high) == pytest.approx((0.3 / 0.6, 0.3 / 0.8, 0.3 / 0.4))
    beyond = entry(tables[3], "weak, shown to protect less", "beyond that of ours")
    assert (beyond.value, beyond.low, beyond.high) == pytest.approx((-0.1 / 0.6, -0.1 / 0.4, -0.1 / 0.8))


def test_a_tables_name_says_what_it_is(folder: Path, listing: Listing) -> None:
    tables = cost_tables(listing, folder)
    assert [it.name for it in tables] == ["table2", "table2-cost", "table2-tifa", "table2-equal"]
    assert tables[0].notes == tables[1].notes == tables[2].notes[1:] == tables[3].notes[1:]
    assert tables[0].notes[0] == (
        "Model toybox. 2 protected models; every model draws 2 captions (FID, KID, CLIP score), 2 captions "
        "for TIFA and 4 prompts for GenEval, all with the same seeds."
    )


def test_notes_say_on_what_similarities_rest(folder: Path, listing: Listing) -> None:
    notes = " ".join(cost_tables(listing, folder)[1].notes)
    assert "Similarity is to held-out photos." in notes
    assert "on the protected subject (2 subjects, 1 attack seed each)" in notes
    assert "those of the ratios are narrower than they should be" in notes
    same = " ".join(cost_tables(replace(listing, same_images=True), folder)[1].notes)
    assert "Similarity is to the photos trained on, as in the paper." in same


def test_judges_say_how_far_they_are_right(folder: Path, listing: Listing, keep: Callable[..., None]) -> None:
    renders = {"renders clip": measured(0.5, 0.25), "renders tifa": measured(1.0, 0.975)}
    keep("plain", "", EXAMS["plain"] | renders, {})
    said = "renders of the captioned scenes themselves a CLIP score of 0.3750 and a TIFA of 98.75 %."
    assert said in cost_tables(listing, folder)[1].notes[2]


def test_what_is_not_finished_is_counted_and_left_out(folder: Path, listing: Listing) -> None:
    record_path(folder, "second").unlink()
    record_path(folder, "near on rex").unlink()
    marks_, costs, *_ = cost_tables(listing, folder)
    assert [line.missing for line in marks_.lines] == [0, 2]
    assert entry(marks_, "ours", "FID").value == 23.0
    assert entry(costs, "ours", "neighbour, strength ratio").n == 2
    assert "2 more not finished" in costs.notes[-1]
    record_path(folder, "plain").unlink()
    with pytest.raises(InputError, match="the unprotected model of 'table2' has no exam yet"):
        cost_tables(listing, folder)


def test_a_subject_without_its_baseline_has_a_similarity_and_no_rate(folder: Path, listing: Listing) -> None:
    record_path(folder, "rex before").unlink()
    record_path(folder, "near before").unlink()
    _, costs, *_ = cost_tables(listing, folder)
    assert [line.missing for line in costs.lines] == [1, 2]  # the unprotected model's row has no others
    assert (entry(costs, "ours", "similarity").n, entry(costs, "ours", "protection rate").n) == (4, 2)
    assert entry(costs, "ours", "neighbour, strength ratio").value is None
    assert entry(costs, "ours", "neighbour told apart").n == 4
    assert "2 more not finished" in costs.notes[-1]


def test_a_run_that_is_listed_twice_counts_once(folder: Path, listing: Listing) -> None:
    """Without an attack its seed is in no digest."""
    twice = replace(listing.rows[1], cells={"dog": (("rex own", "rex own"), ("fido own",))})
    found = cost_tables(replace(listing, rows=(listing.rows[0], twice)), folder)[1]
    assert entry(found, "ours", "protection rate").n == 4


def test_other_code_is_refused(folder: Path, listing: Listing, keep: Callable[..., None]) -> None:
    other = (Provenance("b" * 40, False, "cpu, 1 thread", {}),)
    keep("first", "", EXAMS["first"], {}, provenance=other)
    with pytest.raises(InputError, match="are of commits"):
        cost_tables(listing, folder)


def test_costs_are_no_merit_by_themselves(folder: Path, listing: Listing) -> None:
    """What costs nothing may buy nothing; no defence is quicker, and nobody is personalised too well."""
    rival = replace(listing.rows[1], label="rival", models=models("second", "second"))
    marks_, costs, *_ = cost_tables(replace(listing, rows=(*listing.rows, rival)), folder)
    assert (entry(marks_, "ours", "FID").mark, entry(marks_, "rival", "FID").mark) == ("best", "second")
    assert [it.name for it in costs.columns if it.ranked] == ["similarity (judge)", "protection rate"]
    assert {line.entries[place].mark for line in costs.lines for place in range(2, len(costs.columns))} == {
        ""
    }
    assert [it.kind for it in costs.columns] == ["ours"] * len(costs.columns)


def test_rates_are_compared_attack_by_attack(
    folder: Path, listing: Listing, keep: Callable[..., None]
) -> None:
    """Ours withholds (.8 - .5) / .6 of either subject; the weak row .1 / .6 of rex and .2 / .6 of fido."""
    for who, level in (("rex", 0.7), ("fido", 0.6)):
        keep(f"{who} weakly", who, {"similarity": measured(level)}, {"similarity": measured(0.8)})
    weak = replace(listing.rows[1], label="weak", cells={"dog": (("rex weakly",), ("fido weakly",))})
    before = {**listing.before, "rex weakly": "rex before", "fido weakly": "fido before"}
    equal = cost_tables(replace(listing, rows=(*listing.rows, weak), before=before), folder)[3]
    assert [it.label for it in equal.lines] == ["ours", "weak, shown to protect less"]
    found = entry(equal, "weak, shown to protect less", "beyond that of ours")
    assert (found.value, found.low, found.high) == pytest.approx((-0.15 / 0.6, -0.2 / 0.6, -0.1 / 0.6))
    assert entry(equal, "weak, shown to protect less", "protection rate").value == pytest.approx(0.15 / 0.6)
    record_path(folder, "rex own").unlink()
    equal = cost_tables(replace(listing, rows=(*listing.rows, weak), before=before), folder)[3]
    assert [it.label for it in equal.lines] == ["ours", "weak, not comparable before ours is finished"]
    assert equal.lines[1].entries[1] == Entry(None)


def test_without_a_defence_there_is_nothing_to_be_equal_to(folder: Path, listing: Listing) -> None:
    rows = (listing.rows[0], replace(listing.rows[1], role="placebo"))
    assert len(cost_tables(replace(listing, rows=rows), folder)) == 3


@pytest.mark.parametrize("before", [{}, {"rex": "rex before", "fido": "fido before"}])
def test_a_listing_of_an_earlier_form_is_refused(
    folder: Path, listing: Listing, before: dict[str, str]
) -> None:
    for reading in (cost_tables, any_examined):
        with pytest.raises(InputError, match="listing of 'table2' at size toy is of an earlier version"):
            reading(replace(listing, before=before), folder)
