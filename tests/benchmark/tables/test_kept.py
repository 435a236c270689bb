"""What an exam depends on, and what it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from apdm.benchmark.tables.kept import Kept


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


@pytest.mark.parametrize(
    ("of", "changes", "others"),
    [
        ({"seed": 7}, {}, ""),  # of an attack's draws
        ({"setup_seed": 7}, {}, "exam drawn"),
        ({"weights": "other"}, {}, "exam drawn references"),
        ({}, {"num_inference_steps": 9}, "exam drawn"),
        ({}, {"sample_batch_size": 3}, "exam"),  # the time that a batch takes, and no picture
        ({"weight of": "distance"}, {}, "exam references"),
        ({"weight of": "clip"}, {}, "exam"),
    ],
)
def test_what_each_work_depends_on(
    plan: Any, of: dict[str, Any], changes: dict[str, Any], others: str
) -> None:
    kept = plan.models["attack"]["dog"][0].kept
    paper = kept.paper
    if judge := of.pop("weight of", None):
        paper = replace(paper, weights={**paper.weights, judge: "other"})
    changed = Kept(replace(kept.of, sampling=replace(kept.of.sampling, **changes), **of), paper)
    found = [
        {"exam": it.digest, "drawn": it.drawn("captions").digest, "references": it.references.digest}
        for it in (kept, changed)
    ]
    assert {name for name in found[0] if found[0][name] != found[1][name]} == set(others.split())


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
