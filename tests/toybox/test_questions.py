"""Questions about held-out scenes, answered by a reader that knows the scenes, or part of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from apdm.errors import InputError
from apdm.metrics.geneval import Detection
from apdm.metrics.tifa import Question, Tifa, tifa
from apdm.toybox.captions import Described, scene
from apdm.toybox.identity import CLASS_NOUNS, main_colour, stream
from apdm.toybox.questions import COUNTS, NOTHING, ToyAnswerer, questions_of
from apdm.toybox.seeds import Purpose
from apdm.toybox.world import GROUNDS, Placed

SCENES = [scene(stream("asked in a test", index), Purpose.TUNING) for index in range(300)]
ASKED = [
    question for index, described in enumerate(SCENES) for question in questions_of(str(index), described)
]


class Truth:
    """Sees in a picture of level i what scene i holds; colours and sides can be made wrong."""

    name, fingerprint, labels, colours = "truth", "aa", CLASS_NOUNS, ("gray",)

    def __init__(self, mirrored: bool = False, first: int = 9, confidence: float = 0.95) -> None:
        self.mirrored, self.first, self.confidence = mirrored, first, confidence
        self.colour_namer = self

    def toys(self, level: float) -> tuple[Placed, ...]:
        return SCENES[int(level)].scene.toys

    def found(self, level: float) -> list[Detection]:
        placed = self.toys(level)[: self.first]
        sides = [(-it.x if self.mirrored else it.x) for it in placed]
        return [
            Detection(it.toy.class_noun, self.confidence, (x, 0.0, x + 0.1, 1.0))
            for it, x in zip(placed, sides, strict=True)
        ]

    def __call__(self, pixels: Tensor, found: Sequence[Detection] | None = None) -> list:  # pyright: ignore
        levels = pixels[:, 0, 0, 0].tolist()
        if found is None:
            return [self.found(level) for level in levels]
        known = zip(self.found(levels[0]), self.toys(levels[0]), strict=False)
        return [next(main_colour(it.toy).word for seen, it in known if seen == one) for one in found]

    def grounds(self, pixels: Tensor) -> list[str]:
        return [SCENES[int(level)].scene.view.ground for level in pixels[:, 0, 0, 0].tolist()]


class Exact:
    name, fingerprint = "exact", "bb"

    def __call__(self, texts: Sequence[str]) -> Tensor:
        raise AssertionError(f"'{texts[0]}' is no choice")


def examined(reader: Truth, asked: Sequence[Question] = ASKED) -> Tifa:
    answerer = ToyAnswerer(reader)  # type: ignore[arg-type]
    return tifa(asked, lambda id: torch.full((1, 3, 2, 2), float(id)), answerer, Exact(), seed=0)


def shares(found: Tifa) -> dict[str, float]:
    return {name: score.value for name, score in found.by_type.items()}


def test_who_sees_the_scene_answers_all() -> None:
    found = examined(Truth())
    assert found.score.value == 1.0
    assert {name: score.n > 15 for name, score in found.by_type.items()} == dict.fromkeys(
        ("object", "color", "counting", "location", "spatial"), True
    )


def test_who_sees_no_toy_is_right_about_grounds_alone() -> None:
    for blind in (Truth(first=0), Truth(confidence=0.3)):  # GenEval's threshold must be exceeded
        assert shares(examined(blind)) == {
            "object": 0.0, "color": 0.0, "counting": 0.0, "location": 1.0, "spatial": 0.0
        }  # fmt: skip


def test_sides_are_asked_about_by_sides_alone() -> None:
    found = shares(examined(Truth(mirrored=True)))
    assert found.pop("spatial") == 0.0
    assert set(found.values()) == {1.0}


def test_counting_asks_for_the_exact_number_and_more_confidence() -> None:
    assert shares(examined(Truth(first=1)))["counting"] == 0.0
    unsure = shares(examined(Truth(confidence=0.9)))
    assert (unsure["counting"], unsure["object"]) == (0.0, 1.0)


def test_what_the_caption_does_not_say_is_not_asked() -> None:
    silent = [replace(described, caption="a photo") for described in SCENES]
    types = {question.element_type for described in silent for question in questions_of("0", described)}
    assert types == {"object", "counting"}


def about(described: Described) -> list[tuple[str, str]]:
    return [(question.question, question.answer) for question in questions_of("0", described)]


def test_a_pairs_questions_written_out() -> None:
    pair = next(
        it for it in SCENES if it.kind == "pair" and len({p.toy.class_noun for p in it.scene.toys}) == 2
    )
    nouns = [placed.toy.class_noun for placed in pair.scene.toys]
    said = replace(pair, caption=f"a photo of a {nouns[0]} to the left of a {nouns[1]} at night")
    night = replace(said, scene=replace(pair.scene, view=replace(pair.scene.view, ground="night")))
    a, b = sorted(nouns)
    assert about(night) == [
        (f"is there a {nouns[0]}?", "yes"),
        (f"is there a {nouns[1]}?", "yes"),
        (f"what is on the left, the {a} or the {b}?", nouns[0]),
        ("where is it?", "at night"),
    ]


def test_answers_are_choices_and_odd_ones_are_nothing() -> None:
    assert all(question.answer in question.choices for question in ASKED)
    assert all(len(set(question.choices)) == len(question.choices) > 1 for question in ASKED)
    crowd = Truth()
    crowd.found = lambda level: [Detection("dog", 0.95, (0.0, 0.0, 1.0, 1.0))] * 5  # type: ignore[method-assign]
    crowd.colour_namer = lambda pixels, found: ["purple"]  # type: ignore[assignment,misc]
    asked = ["how many dogs are there?", "what color is the dog?", "what color is the car?", "where is it?"]
    answers = ToyAnswerer(crowd)(torch.zeros(4, 3, 2, 2), asked)  # type: ignore[arg-type]
    here = GROUNDS[SCENES[0].scene.view.ground].phrase
    assert answers == [COUNTS[-1], NOTHING, NOTHING, here]  # no dog is purple


def test_the_surest_toy_is_what_there_is() -> None:
    two = Truth()
    two.found = lambda level: [  # type: ignore[method-assign]
        Detection("dog", 0.5, (0.0, 0.0, 1.0, 1.0)), Detection("cat", 0.6, (0.0, 0.0, 1.0, 1.0))
    ]  # fmt: skip
    assert ToyAnswerer(two)(torch.zeros(1, 3, 2, 2), ["what is in the picture?"]) == ["cat"]  # type: ignore[arg-type]


def test_other_questions_are_refused() -> None:
    with pytest.raises(InputError, match="'is it red\\?' is no question about toys"):
        ToyAnswerer(Truth())(torch.zeros(1, 3, 2, 2), ["is it red?"])  # type: ignore[arg-type]
