"""The six tasks in the Toybox's words."""

from __future__ import annotations

from collections import Counter

import pytest

from apdm.metrics.geneval import TASKS, Prompt, Requirement
from apdm.toybox.identity import CLASS_NOUNS, FUR, PAINT
from apdm.toybox.object_prompts import every_prompt, object_prompts


def test_each_task_has_so_many_different_prompts_or_all_there_are() -> None:
    found = object_prompts(12, seed=3)
    assert Counter(it.task for it in found) == {
        "single_object": 5, "two_object": 12, "counting": 10, "colors": 12, "position": 12, "color_attr": 12
    }  # fmt: skip
    assert len({it.text for it in found}) == len(found)
    assert found == object_prompts(12, seed=3) != object_prompts(12, seed=4)


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt("single_object", "a photo of a teapot", (Requirement("teapot", 1),)),
        Prompt("two_object", "a photo of a dog and a car", (Requirement("dog", 1), Requirement("car", 1))),
        Prompt(
            "counting", "a photo of three people", (Requirement("person", 3),), (Requirement("person", 4),)
        ),
        Prompt("colors", "a photo of an orange cat", (Requirement("cat", 1, "orange"),)),
        Prompt("colors", "a photo of a person in red", (Requirement("person", 1, "red"),)),
        Prompt(
            "position",
            "a photo of a cat to the right of a person",
            (Requirement("person", 1), Requirement("cat", 1, position=("right of", 0))),
        ),
        Prompt(
            "color_attr",
            "a photo of a white dog and a person in black",
            (Requirement("dog", 1, "white"), Requirement("person", 1, "black")),
        ),
    ],
)
def test_prompts_say_what_they_require(prompt: Prompt) -> None:
    assert prompt in every_prompt(prompt.task)


def test_words_are_the_toyboxs() -> None:
    wanted = [one for task in TASKS for it in every_prompt(task) for one in it.include]
    assert {one.label for one in wanted} == set(CLASS_NOUNS)
    assert {one.colour for one in wanted if one.label == "dog"} == {None, *FUR}
    assert {one.colour for one in wanted if one.label == "car"} == {None, *PAINT}
    assert all(it.include[0].colour != it.include[1].colour for it in every_prompt("color_attr"))
