"""GenEval's rules on made-up detections, case by case."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics.base import joint_fingerprint
from apdm.metrics.geneval import (
    GENEVAL,
    Box,
    Detection,
    Prompt,
    Requirement,
    Rules,
    geneval,
    is_right,
    kept,
    read_prompts,
    relations,
)

PICTURE = torch.zeros(1, 3, 8, 8)
COLOURED = {
    "red": (0.0, 0.0, 2.0, 2.0),
    "blue": (4.0, 0.0, 6.0, 2.0),
}  # what has its box here has that colour


class Boxes:
    """Names colours by the left side of a box: red below 4, blue from there on."""

    name, fingerprint, colours = "boxes", "bb", ("red", "blue")

    def __call__(self, pixels: Tensor, found: Sequence[Detection]) -> list[str]:
        assert pixels.shape == (1, 3, 8, 8)
        return ["red" if one.box[0] < 4 else "blue" for one in found]


class Told:
    """Finds in picture i what it was told about picture i of the whole run."""

    name, fingerprint, labels = "told", "aa", ("dog", "cat", "bench")

    def __init__(self, *found: list[Detection]) -> None:
        self.found = list(found)

    def __call__(self, pixels: Tensor) -> list[list[Detection]]:
        return [self.found.pop(0) for _ in pixels]


def dog(confidence: float = 0.95, box: Box = COLOURED["red"]) -> Detection:
    return Detection("dog", confidence, box)


def cat(confidence: float = 0.95, box: Box = COLOURED["blue"]) -> Detection:
    return Detection("cat", confidence, box)


def prompt(task: str, *include: Requirement, exclude: Sequence[Requirement] = ()) -> Prompt:
    return Prompt(task, f"a prompt for {task}", include, tuple(exclude))


ONE_DOG = prompt("single_object", Requirement("dog", 1))
TWO = prompt("two_object", Requirement("dog", 1), Requirement("cat", 1))
THREE_DOGS = prompt("counting", Requirement("dog", 3), exclude=[Requirement("dog", 4)])
RED_DOG = prompt("colors", Requirement("dog", 1, colour="red"))
RED_DOG_BLUE_CAT = prompt(
    "color_attr", Requirement("dog", 1, colour="red"), Requirement("cat", 1, colour="blue")
)
CAT_RIGHT_OF_DOG = prompt("position", Requirement("dog", 1), Requirement("cat", 1, position=("right of", 0)))
BLUE, RED, HIGH = COLOURED["blue"], COLOURED["red"], (0.0, -6.0, 2.0, -4.0)


@pytest.mark.parametrize(
    ("asked", "found", "right"),
    [
        (ONE_DOG, [dog()], True),
        (ONE_DOG, [dog(), dog(), cat()], True),  # more is no matter
        (ONE_DOG, [cat()], False),
        (ONE_DOG, [dog(0.3)], False),  # not above the threshold
        (ONE_DOG, [dog(0.31)], True),
        (TWO, [dog(), cat()], True),
        (TWO, [dog(), dog()], False),
        (THREE_DOGS, [dog()] * 3, True),
        (THREE_DOGS, [dog()] * 2, False),
        (THREE_DOGS, [dog()] * 4, False),
        (THREE_DOGS, [dog()] * 3 + [dog(0.9)], True),  # counted is what is above .9
        (THREE_DOGS, [dog()] * 2 + [dog(0.9)], False),
        (RED_DOG, [dog(box=RED)], True),
        (RED_DOG, [dog(box=BLUE)], False),
        (RED_DOG, [dog(0.8, RED), dog(0.9, BLUE)], False),  # the most confident one is looked at
        (RED_DOG, [dog(0.9, RED), dog(0.8, BLUE)], True),
        (prompt("colors", Requirement("dog", 2, colour="red")), [dog(box=RED), dog(box=BLUE)], False),
        (prompt("colors", Requirement("dog", 2, colour="red")), [dog(box=RED)] * 2, True),
        (RED_DOG_BLUE_CAT, [dog(box=RED), cat(box=BLUE)], True),
        (RED_DOG_BLUE_CAT, [dog(box=BLUE), cat(box=RED)], False),
        (RED_DOG_BLUE_CAT, [dog(box=RED), cat(box=RED)], False),
        (CAT_RIGHT_OF_DOG, [dog(box=RED), cat(box=BLUE)], True),
        (CAT_RIGHT_OF_DOG, [dog(box=BLUE), cat(box=RED)], False),
        (CAT_RIGHT_OF_DOG, [dog(box=RED), cat(box=HIGH)], False),
        (CAT_RIGHT_OF_DOG, [cat(box=BLUE)], False),  # right of nothing
        (CAT_RIGHT_OF_DOG, [dog(0.9, RED), dog(0.8, (7, 0, 9, 2)), cat(box=BLUE)], True),  # of the first one
        (
            prompt("position", Requirement("dog", 2), Requirement("cat", 1, position=("right of", 0))),
            [dog(0.9, RED), dog(0.8, (7, 0, 9, 2)), cat(box=BLUE)],  # of both
            False,
        ),
        (
            prompt(
                "position",
                Requirement("dog", 1, colour="blue"),
                Requirement("cat", 1, position=("right of", 0)),
            ),
            [dog(box=RED), cat(box=BLUE)],  # of one that does not match itself
            False,
        ),
    ],
)
def test_a_picture_is_right_if_its_detections_are(asked: Prompt, found: list[Detection], right: bool) -> None:
    assert is_right(PICTURE, found, asked, Boxes()) is right


UNIT = (0.0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("box", "where"),
    [
        ((-3.0, 0.0, -2.0, 1.0), {"left of"}),
        ((3.0, 0.0, 4.0, 1.0), {"right of"}),
        ((0.0, -3.0, 1.0, -2.0), {"above"}),
        ((0.0, 3.0, 1.0, 4.0), {"below"}),
        ((3.0, 3.0, 4.0, 4.0), {"right of", "below"}),  # 2.8 / (3 sqrt 2) = .66 along both
        ((0.0, 0.0, 1.0, 1.0), set()),
        ((0.2, 0.0, 1.2, 1.0), set()),  # .2 is .1 of both widths
        ((0.35, 0.0, 1.35, 1.0), set()),  # .15 of .35 is less than half
        ((0.45, 0.0, 1.45, 1.0), {"right of"}),  # .25 of .45 is more
        ((1.0, 3.0, 2.0, 4.0), {"below"}),  # .8 / sqrt 10 = .25 along x
        ((2.0, -3.0, 5.0, 4.0), {"right of"}),  # a box of 3 x 7, centres 3 apart: (3 - .4) / 3
    ],
)
def test_relations_by_hand(box: Box, where: set[str]) -> None:
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    assert relations(box, UNIT) == where
    assert relations(UNIT, box) == {opposite[name] for name in where}


def test_the_most_confident_sixteen_of_a_class_count() -> None:
    found = [dog(0.31 + 0.01 * i) for i in range(20)] + [cat()]
    counted = kept(found, "single_object")
    assert [round(d.confidence, 2) for d in counted["dog"]] == [round(0.5 - 0.01 * i, 2) for i in range(16)]
    assert len(counted["cat"]) == 1


def test_overlapping_detections_are_one_only_if_the_rules_say_so() -> None:
    """Of boxes 4 x 1, moved by one: intersection 3, union 5."""
    found = [dog(0.9, (0, 0, 4, 1)), dog(0.8, (1, 0, 5, 1)), dog(0.7, (9, 0, 13, 1)), cat(0.6, (0, 0, 4, 1))]
    assert len(kept(found, "single_object")["dog"]) == 3
    strict = kept(found, "single_object", Rules(max_overlap=0.6))
    assert [d.confidence for d in strict["dog"]] == [0.9, 0.7]
    assert len(strict["cat"]) == 1  # of another class
    assert len(kept(found, "single_object", Rules(max_overlap=0.61))["dog"]) == 3
    same = [dog(0.9, (0, 0, 4, 1)), dog(0.8, (0, 0, 4, 1))]
    assert len(kept(same, "single_object")["dog"]) == 2


def test_the_published_numbers() -> None:
    assert Rules(0.3, 0.9, 16, 1.0, 0.1) == GENEVAL


def whole() -> Any:
    """Two prompts for one dog with two pictures each (2 and 0 right), one for two objects (1 of 2)."""
    detector = Told([dog()], [dog()], [cat()], [], [dog(), cat()], [dog()])
    return geneval([ONE_DOG, ONE_DOG, TWO], lambda _: PICTURE.repeat(2, 1, 1, 1), detector, Boxes(), seed=0)


def test_tasks_are_shares_of_pictures_and_overall_is_their_mean() -> None:
    found = whole()
    assert {task: (score.value, score.n) for task, score in found.tasks.items()} == {
        "single_object": (0.5, 4),
        "two_object": (0.5, 2),
    }
    assert (found.overall.value, found.overall.n) == (0.5, 6)
    assert (found.overall.low, found.overall.high) == (0.25, 0.75)  # the two prompts, redrawn
    assert (found.prompts.value, found.prompts.n) == (pytest.approx(2 / 3), 3)
    assert found.overall.direction is Direction.HIGHER_PRESERVES
    assert found.overall.extractor == "told, boxes"
    assert found.overall.fingerprint == joint_fingerprint("aa", "bb")


def test_a_task_with_more_prompts_does_not_weigh_more() -> None:
    detector = Told([dog()], [dog()], [dog()], [cat()])
    found = geneval([ONE_DOG] * 3 + [TWO], lambda _: PICTURE, detector, Boxes(), seed=0)
    assert found.overall.value == (1 + 0) / 2


def test_words_that_nobody_knows_are_refused() -> None:
    zebra = prompt("single_object", Requirement("zebra", 1))
    pink = prompt("colors", Requirement("dog", 1, colour="pink"))
    for asked, said in ((zebra, "told does not know 'zebra'"), (pink, "boxes does not know 'pink'")):
        with pytest.raises(InputError, match=said):
            geneval([asked], lambda _: PICTURE, Told(), Boxes(), seed=0)


def test_nothing_to_look_at_is_refused() -> None:
    with pytest.raises(InputError, match="there is no prompt"):
        geneval([], lambda _: PICTURE, Told(), Boxes(), seed=0)
    with pytest.raises(InputError, match="has no picture"):
        geneval([ONE_DOG], lambda _: PICTURE[:0], Told(), Boxes(), seed=0)


ENTRIES = (
    {"tag": "single_object", "include": [{"class": "dog", "count": 1}], "prompt": "a photo of a dog"},
    {
        "tag": "counting",
        "include": [{"class": "cat", "count": 2}],
        "exclude": [{"class": "cat", "count": 3}],
        "prompt": "a photo of two cats",
    },
    {
        "tag": "position",
        "include": [
            {"class": "dog", "count": 1},
            {"class": "bench", "count": 1, "color": "red", "position": ["left of", 0]},
        ],
        "prompt": "a photo of a red bench left of a dog",
    },
)


def written(folder: Path, *entries: object) -> Path:
    path = folder / "metadata.jsonl"
    path.write_text("\n".join(e if isinstance(e, str) else json.dumps(e) for e in entries) + "\n")
    return path


def test_the_published_layout_is_read(tmp_path: Path) -> None:
    assert read_prompts(written(tmp_path, *ENTRIES)) == (
        Prompt("single_object", "a photo of a dog", (Requirement("dog", 1),)),
        Prompt("counting", "a photo of two cats", (Requirement("cat", 2),), (Requirement("cat", 3),)),
        Prompt(
            "position",
            "a photo of a red bench left of a dog",
            (Requirement("dog", 1), Requirement("bench", 1, "red", ("left of", 0))),
        ),
    )


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{", "line 2 of .* cannot be used"),
        ({"tag": "counting"}, "line 2 of .* cannot be used"),
        (ENTRIES[0] | {"tag": "sizes"}, "line 2 of .* has the task 'sizes'"),
        (ENTRIES[0] | {"include": [{"class": "dog"}]}, "line 2 of .* cannot be used"),
        (
            ENTRIES[0] | {"include": [{"class": "dog", "count": 1, "position": ["near", 0]}]},
            "cannot be used .position 'near'",
        ),
        (
            ENTRIES[0] | {"include": [{"class": "dog", "count": 1, "position": ["above", 0]}]},
            "refers to what does not stand before it",
        ),
    ],
)
def test_another_layout_is_refused(entry: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        read_prompts(written(tmp_path, ENTRIES[0], entry))


def test_a_file_without_a_prompt_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n \n")
    with pytest.raises(InputError, match="holds no prompt"):
        read_prompts(tmp_path / "empty.jsonl")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_prompts(tmp_path / "none.jsonl")
