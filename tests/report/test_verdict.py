"""The sentence says what the figures allow and no more."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest

from apdm.benchmark.record import BeforeAfter, Figure, SubjectResult
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
    assert much_worse(BeforeAfter(Figure(*before, 64), Figure(*after, 64))) is expected


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
