"""Who is personalised on which model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apdm.benchmark.preservation import NEIGHBOUR, OTHER, SAME
from apdm.errors import InputError


def test_each_model_meets_its_class_another_and_a_neighbour(exam_plan: Callable[..., Any]) -> None:
    plan = exam_plan()
    for number, neighbour in enumerate(("dog-450003", "dog-450004")):
        model = plan.models["model"]["dog"][number]
        who = {sort: [runs[0].subject.name for runs in some] for sort, some in model.others.items()}
        assert who == {SAME: ["dog-450002"], OTHER: ["cat-450000"], NEIGHBOUR: [neighbour]}
        cells = [runs[0] for some in model.others.values() for runs in some]
        protected = plan.rows["model"]["dog"][number][0].protected
        assert {cell.protected.digest for cell in cells} == {protected.digest}
        assert {cell.seed for cell in cells} == {0}
        assert cells[1].class_noun == "cat"
    assert all(model.others == {} for model in plan.models["attack"]["dog"])


def test_a_twins_protection_meets_those_of_the_twin(exam_plan: Callable[..., Any]) -> None:
    plan = exam_plan(('protector = "shifted"', 'protector = "shifted"\nprotected_for = "twin"'))
    first = plan.models["model"]["dog"][0]
    assert first.kept.name == "shifted dog-450001"
    assert first.others[NEIGHBOUR][0][0].subject.name == "dog-450004"
    assert first.others[NEIGHBOUR][0][0].protected_for.name == "dog-450001"


def test_everybody_is_drawn_before_any_attack(exam_plan: Callable[..., Any]) -> None:
    before = exam_plan().before
    assert sorted(before) == ["cat-450000", *(f"dog-45000{number}" for number in range(5))]
    assert all(it.personalizer is None and it.protector is None for it in before.values())
    assert before["cat-450000"].prompts[0] == "a photo of sks cat"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "neighbours = { dog = [3, 4] }",
            "neighbours = { dog = [3] }",
            "has no dog for each of the subjects",
        ),
        ("dog = [2], cat", "dog = [], cat", "exam.others has no dog"),
        ("dog = [2], cat", "dog = [1], cat", "'dog-450001' is protected and one of the exam's others"),
        ("dog = [3, 4]", "dog = [3, 0]", "'dog-450000' is protected and one of the exam's others"),
        ("exam.timed", "exam.tmed", "did you mean 'timed'"),
    ],
)
def test_exams_without_enough_others_are_refused(
    exam_plan: Callable[..., Any], old: str, new: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        exam_plan(exam=((old, new),))
