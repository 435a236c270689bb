"""What an exam depends on, and what it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def plan(exam_plan: Callable[..., Any]) -> Any:
    return exam_plan()


def test_an_exam_is_of_the_model_alone(plan: Any, exam_plan: Callable[..., Any]) -> None:
    unprotected = [it.kept for label in ("attack", "cloak, 0 clean") for it in plan.models[label]["dog"]]
    assert len({it.digest for it in unprotected}) == 1  # whoever attacks it, with whatever photos
    protected = [it.kept for it in plan.models["model"]["dog"]]
    assert len({it.digest for it in (*protected, unprotected[0])}) == 3
    harder = exam_plan(('label = "model"\npersonalizer = "once"', 'label = "model"\npersonalizer = "worded"'))
    assert [it.kept.digest for it in harder.models["model"]["dog"]] == [it.digest for it in protected]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("captions = 6", "captions = 7"),
        ("questions = 6", "questions = 5"),
        ("objects = 2", "objects = 1"),
        ("references = 5", "references = 6"),
        ("timed = 2", "timed = 3"),
        ("pictures_per_prompt = 2", "pictures_per_prompt = 3"),
        ("somebody/detector", "somebody/eye"),
    ],
)
def test_another_exam_is_another_cell(plan: Any, exam_plan: Callable[..., Any], old: str, new: str) -> None:
    other = exam_plan(exam=((old, new),))
    assert other.models["model"]["dog"][0].kept.digest != plan.models["model"]["dog"][0].kept.digest


def test_who_is_personalised_beside_it_is_no_matter(plan: Any, exam_plan: Callable[..., Any]) -> None:
    other = exam_plan(exam=(("neighbours = { dog = [3, 4] }", "neighbours = { dog = [5, 6] }"),))
    assert other.models["model"]["dog"][0].kept.digest == plan.models["model"]["dog"][0].kept.digest


def test_a_record_says_whose_model_it_is(plan: Any) -> None:
    kept = plan.models["model"]["dog"][1].kept
    assert kept.name == "shifted dog-450001"
    assert (kept.config["protected_for"], kept.config["seed"]) == ("dog-450001", 0)
    assert kept.config["exam"]["captions"] == 6
    unprotected = plan.models["attack"]["dog"][1].kept
    assert (unprotected.name, unprotected.config["protected_for"]) == ("unprotected", None)
