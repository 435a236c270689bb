"""The sentence says what the figures allow and no more."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest

from apdm.benchmark.record import BeforeAfter, Figure, SubjectResult
from apdm.direction import Direction
from apdm.report.numbers import MINUS, THIN_SPACE
from apdm.report.verdict import Finding, attacks_named, cost, looks_alike, much_worse, verdict

MakeSubject = Callable[..., SubjectResult]
ATTACK = "the listed attack"
UNDEFINED = (math.nan, -math.inf, math.inf)
NO_NUMBERS = (math.nan, math.nan, math.nan)


def said(subject: SubjectResult) -> tuple[Finding, str]:
    reached = verdict(subject, ATTACK)
    return reached.finding, reached.sentence.replace(THIN_SPACE, "").replace(MINUS, "-")


def test_resistance_is_measured_under_the_listed_attack_and_comes_with_its_interval(
    make_subject: MakeSubject,
) -> None:
    assert said(make_subject()) == (
        Finding.RESISTANCE,
        "Measured resistance under the listed attack: of the likeness to rex gained on the unprotected "
        "model, 88% (95% interval 78 to 96%) is lost on the protected one.",
    )


@pytest.mark.parametrize("strength", [(0.1, 0.0, 0.3), (0.1, -0.2, 0.3), UNDEFINED, NO_NUMBERS])
def test_nothing_is_concluded_where_the_control_did_not_take(
    make_subject: MakeSubject, strength: tuple[float, float, float]
) -> None:
    finding, sentence = said(make_subject(strength=strength))
    assert finding is Finding.NO_CONCLUSION
    assert sentence.startswith("Nothing can be concluded about rex: the listed attack did not take")
    assert "88%" not in sentence


@pytest.mark.parametrize("rate", [(0.2, 0.0, 0.4), (0.2, -0.1, 0.4), UNDEFINED, NO_NUMBERS])
def test_protection_is_not_shown_where_the_interval_reaches_zero(
    make_subject: MakeSubject, rate: tuple[float, float, float]
) -> None:
    much = ((0.01, 0.009, 0.011), (0.5, 0.4, 0.6))
    finding, sentence = said(make_subject(rate=rate, kid=much))
    assert finding is Finding.NOT_SHOWN
    assert sentence.startswith("Protection of rex was not shown: the protection rate is ")
    assert sentence.endswith("so there may be no effect at all.")


def test_a_model_that_became_easier_to_attack_is_said_to_be(make_subject: MakeSubject) -> None:
    finding, sentence = said(make_subject(rate=(-0.2, -0.3, -0.1)))
    assert finding is Finding.NOT_SHOWN
    assert "came nearer to it on the protected model" in sentence
    assert "-20% (95% interval -30 to -10%)" in sentence


def test_a_rate_above_one_is_not_clipped(make_subject: MakeSubject) -> None:
    assert "112% (95% interval 97 to 130%)" in said(make_subject(rate=(1.12, 0.97, 1.3)))[1]


def test_class_pictures_that_became_much_worse_turn_a_rate_into_a_doubt(make_subject: MakeSubject) -> None:
    finding, sentence = said(make_subject(kid=((0.01, 0.009, 0.011), (0.05, 0.04, 0.06))))
    assert finding is Finding.MAYBE_DAMAGE
    assert sentence.startswith("Measured resistance under the listed attack: ")
    assert sentence.endswith("(KID 0.01 before, 0.05 after), so this may be mere damage.")


def test_a_rate_above_one_is_doubted_where_the_class_was_not_measured(make_subject: MakeSubject) -> None:
    above = (1.3, 1.1, 1.5)
    finding, sentence = said(make_subject(rate=above))
    assert finding is Finding.MAYBE_DAMAGE
    assert sentence.endswith("what became of the class was not measured, so this may be mere damage.")
    kept = ((0.01, 0.009, 0.011), (0.01, 0.009, 0.011))
    assert said(make_subject(rate=above, kid=kept))[0] is Finding.RESISTANCE
    assert said(make_subject(rate=(0.9, 0.8, 1.2)))[0] is Finding.RESISTANCE


PAIRS = {
    "CMMD over clip": (1.0, 90.0, Direction.LOWER_PRESERVES),
    "FDFR": (0.02, 0.9, Direction.LOWER_PRESERVES),
    "CLIP score": (0.3, 0.1, Direction.HIGHER_PRESERVES),
}


def further(
    subject: SubjectResult, measure: str, before: float, after: float, way: Direction
) -> SubjectResult:
    """The same with figures of class pictures, whose intervals are narrow."""
    was, now = (Figure(it, 0.99 * it, 1.01 * it, 64, "eye", way) for it in (before, after))
    sets = {"class_unprotected": was, "class_protected": now}
    return dataclasses.replace(subject, further={**(subject.further or {}), measure: sets})


@pytest.mark.parametrize("measure", PAIRS)
@pytest.mark.parametrize("rate", [(0.7, 0.6, 0.8), (1.2, 1.1, 1.3)])
def test_a_class_that_became_much_worse_by_any_measure_is_told(
    rate: tuple[float, float, float], measure: str, make_subject: MakeSubject
) -> None:
    before, after, way = PAIRS[measure]
    kept = make_subject(rate=rate, kid=((0.01, 0.009, 0.011), (0.01, 0.009, 0.011)))
    for subject in (kept, dataclasses.replace(kept, kid=None)):
        finding, sentence = said(further(subject, measure, before, after, way))
        assert finding is Finding.MAYBE_DAMAGE
        assert f"became much worse too ({measure} {before:g} before, {after:g} after)" in sentence
    assert said(further(kept, measure, before, before, way))[0] is Finding.RESISTANCE


def test_a_class_of_which_no_picture_can_be_scored_any_more_is_damaged(make_subject: MakeSubject) -> None:
    way = Direction.LOWER_PRESERVES
    was, flat = Figure(44, 43, 45, 8, "brisque", way), Figure(*UNDEFINED, 0, "brisque", way, excluded=8)
    for before, finding in ((was, Finding.MAYBE_DAMAGE), (flat, Finding.RESISTANCE)):
        sets = {"class_unprotected": before, "class_protected": flat}
        found, sentence = said(dataclasses.replace(make_subject(), brisque=sets))
        assert found is finding
        assert ("(BRISQUE 44 before, undefined after)" in sentence) is (before is was)


def test_only_a_distance_says_that_a_rate_above_one_is_no_damage(make_subject: MakeSubject) -> None:
    bare = make_subject(rate=(1.3, 1.1, 1.5))
    scored = further(bare, "CLIP score", 0.3, 0.3, Direction.HIGHER_PRESERVES)
    way = Direction.LOWER_PRESERVES
    same = Figure(44, 43, 45, 8, "brisque", way)
    scored = dataclasses.replace(scored, brisque={"class_unprotected": same, "class_protected": same})
    finding, sentence = said(scored)
    assert finding is Finding.MAYBE_DAMAGE
    assert "all that was measured of the class is BRISQUE, CLIP score, so" in sentence
    assert cost(scored) == (
        "Cost: BRISQUE of its class pictures 44 before, 44 after; "
        "CLIP score of its class pictures 0.3 before, 0.3 after."
    )
    for distance in ("FID over inception", "KID over eye", "CMMD over clip"):
        assert said(further(bare, distance, 1.0, 1.0, way))[0] is Finding.RESISTANCE


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((0.010, 0.009, 0.011), (0.021, 0.012, 0.03), True),
        ((0.010, 0.009, 0.011), (0.019, 0.012, 0.03), False),  # not doubled
        ((0.010, 0.005, 0.015), (0.030, 0.014, 0.05), False),  # the intervals overlap
        ((-0.001, -0.002, 0.0), (0.002, 0.001, 0.003), True),  # KID is unbiased, so it may be negative
        ((0.010, 0.009, 0.011), UNDEFINED, False),
    ],
)
def test_much_worse_asks_for_intervals_apart_and_a_doubling(
    before: tuple[float, float, float], after: tuple[float, float, float], expected: bool
) -> None:
    assert much_worse("KID", BeforeAfter(Figure(*before, 64), Figure(*after, 64))) is expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((0.0, 0.0, 0.0), (0.06, 0.02, 0.12), False),  # four of 64: more than none, and not many
        ((0.0, 0.0, 0.0), (0.12, 0.05, 0.2), True),
        ((0.2, 0.15, 0.25), (0.32, 0.26, 0.4), False),  # one more in ten, not doubled
        ((0.2, 0.15, 0.25), (0.42, 0.3, 0.5), True),
        ((0.6, 0.5, 0.7), (0.9, 0.8, 1.0), True),  # of ten pictures with a face four were left, and one is
        ((0.6, 0.5, 0.7), (0.78, 0.71, 0.85), False),
    ],
)
def test_more_pictures_without_a_face_must_be_one_in_ten(
    before: tuple[float, float, float], after: tuple[float, float, float], expected: bool
) -> None:
    assert much_worse("FDFR", BeforeAfter(Figure(*before, 64), Figure(*after, 64))) is expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ((0.14, 0.12, 0.16), True),
        ((0.16, 0.14, 0.18), False),  # not halved
        ((0.14, 0.10, 0.29), False),  # the intervals overlap
        (UNDEFINED, False),
    ],
)
def test_what_should_be_high_is_much_worse_when_halved(
    after: tuple[float, float, float], expected: bool
) -> None:
    before, now = (Figure(*it, 64, direction=Direction.HIGHER_PRESERVES) for it in ((0.3, 0.28, 0.32), after))
    assert much_worse("CLIP score", BeforeAfter(before, now)) is expected


def test_the_cost_says_what_was_measured_and_when_nothing_was(make_subject: MakeSubject) -> None:
    assert cost(make_subject()) == "What the protection costs was not measured."
    known = cost(make_subject(kid=((0.01, 0.009, 0.011), (0.05, 0.04, 0.06))))
    assert known == "Cost: KID of its class pictures 0.01 before, 0.05 after."


def test_one_attack_is_not_called_attacks() -> None:
    assert attacks_named(("DreamBooth",)) == "the listed attack"
    assert attacks_named(("DreamBooth", "LoRA")) == "the listed attacks"


@pytest.mark.parametrize(("other", "alike"), [(0.41, True), (0.39, False)])
def test_a_look_alike_is_told(make_subject: MakeSubject, other: float, alike: bool) -> None:
    """Nearer to the subject's own photos (.7) than to the class (.1): above their middle, .4."""
    subject = make_subject()
    similarity = dataclasses.replace(
        subject.similarity,
        real=Figure(0.7, 0.7, 0.7, 8),
        class_prompt=Figure(0.1, 0.1, 0.1, 8),
        random_other=Figure(other, other, other, 8),
    )
    ratio = Figure(1.0, 0.9, 1.1, 32)
    subject = dataclasses.replace(subject, similarity=similarity, other_subject_strength_ratio=ratio)
    assert looks_alike(subject.similarity) is alike
    assert ("finds much like the subject" in cost(subject)) is alike
