"""Who is personalised on which model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from apdm.benchmark.tables.preservation import NEIGHBOUR, OTHER, SAME
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


def test_before_any_attack_the_class_alone_is_drawn(exam_plan: Callable[..., Any]) -> None:
    """Of whoever is attacked, in each row's own words, and without the identifier."""
    words = 'label = "cloak, 0 clean"\nclass_noun = { dog = "puppy" }\nprompts = "diverse"'
    plan = exam_plan(('label = "cloak, 0 clean"', words))
    own = [runs[0] for rows in plan.rows.values() for runs in rows["dog"]]
    models = [it for rows in plan.models.values() for it in rows["dog"]]
    attacks = {cell.digest: cell for cell in (*own, *(one for it in models for one in it.attacks))}
    assert {digest: it.subject.name for digest, it in plan.before.items()} == {
        digest: it.subject.name for digest, it in attacks.items()
    }
    assert all(it.personalizer is None and it.protector is None for it in plan.before.values())
    other = plan.models["model"]["dog"][0].others[OTHER][0][0]
    assert plan.before[other.digest].prompts == ("a photo of cat", "a portrait of cat")
    puppy = plan.rows["cloak, 0 clean"]["dog"][0][0]
    assert plan.before[puppy.digest].prompts[0] == "a puppy in the jungle"


def test_who_is_in_no_figure_is_not_drawn(exam_plan: Callable[..., Any]) -> None:
    unused = exam_plan(exam=(("{ dog = [3, 4] }", "{ dog = [3, 4], cat = [8] }"),))
    assert {it.subject.name for it in unused.before.values()} == {
        "cat-450000",
        *(f"dog-45000{number}" for number in range(5)),
    }


def test_two_of_one_name_have_each_their_own(exam_plan: Callable[..., Any], tmp_path: Path) -> None:
    for noun, level in (("dogs", 10), ("cats", 200)):
        (tmp_path / noun / "rex").mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (64, 64), (level, number, 0)).save(tmp_path / noun / "rex" / f"{number}.png")
    others = 'exam.others = { dog = ["dogs/rex"], cat = ["cats/rex"] }'
    plan = exam_plan(exam=(("exam.others = { dog = [2], cat = [0] }", others),), data=tmp_path)
    found = plan.models["model"]["dog"][0].others
    dog, cat = (plan.before[found[sort][0][0].digest] for sort in (SAME, OTHER))
    assert (dog.subject.name, cat.subject.name) == ("rex", "rex")
    assert (dog.class_noun, cat.class_noun) == ("dog", "cat")


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
