"""TIFA with made-up answers: the choices, the means and the types by hand."""

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
from apdm.metrics.tifa import Question, answered, chosen, read_captions, read_questions, tifa

MEANINGS = {"crimson": (1.0, 0.2), "red": (2.0, 0.0), "blue": (0.0, 1.0), "green": (-1.0, 1.0)}


class Meanings:
    """Sentences as the vectors of the table."""

    name, fingerprint = "meanings", "bb"

    def __call__(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([MEANINGS[text] for text in texts])


class Brightness:
    """Answers "yes" to whatever a bright picture is asked, and remembers what it was asked."""

    name, fingerprint = "brightness", "aa"

    def __init__(self) -> None:
        self.asked: list[tuple[float, str]] = []

    def __call__(self, pixels: Tensor, questions: Sequence[str]) -> list[str]:
        seen = pixels.mean((1, 2, 3)).tolist()
        self.asked += zip(seen, questions, strict=True)
        return ["yes" if level > 0 else "no" for level in seen]


def ask(id: str, answer: str, element_type: str, question: str = "is it?") -> Question:
    return Question(id, question, ("yes", "no"), answer, element_type)


QUESTIONS = (
    ask("sun", "yes", "object", "is it the sun?"),
    ask("sun", "yes", "color", "is it yellow?"),
    ask("night", "yes", "object", "is it night?"),
    ask("sun", "no", "counting", "are there two?"),
    ask("lamps", "yes", "object", "are there lamps?"),
)
PICTURES = {
    "sun": torch.full((1, 3, 2, 2), 0.5),
    "night": torch.full((1, 3, 2, 2), -0.5),
    "lamps": torch.tensor([0.1, 0.2, -0.1, 0.3]).view(4, 1, 1, 1).expand(4, 3, 2, 2),
}


def test_the_score_is_the_mean_over_captions_of_their_accuracies() -> None:
    """Right are 2 of 3 for the sun, 0 of 1 for the night, 3 of 4 for the lamps."""
    found = tifa(QUESTIONS, PICTURES.__getitem__, Brightness(), Meanings(), seed=0).score
    assert found.value == pytest.approx((2 / 3 + 0 + 3 / 4) / 3)
    assert (found.low, found.high) == pytest.approx((0, 3 / 4))  # three captions, redrawn
    assert (found.metric, found.n, found.direction) == ("TIFA", 3, Direction.HIGHER_PRESERVES)
    assert found.extractor == "brightness, meanings"
    assert found.fingerprint == joint_fingerprint("aa", "bb")


def test_each_type_pools_its_answers_over_captions() -> None:
    """Objects: 1 of 1, 0 of 1 and 3 of 4; colour 1 of 1; counting 0 of 1."""
    found = tifa(QUESTIONS, PICTURES.__getitem__, Brightness(), Meanings(), seed=0).by_type
    assert {name: (score.value, score.n) for name, score in found.items()} == {
        "object": (4 / 6, 6),
        "color": (1.0, 1),
        "counting": (0.0, 1),
    }
    assert found["object"].metric == "TIFA, object"
    assert (found["object"].low, found["object"].high) == (0, 1)  # the night only, the sun only


def test_every_picture_of_a_caption_is_asked_every_question_of_it() -> None:
    answerer = Brightness()
    tifa(
        QUESTIONS[:2],
        lambda _: torch.tensor([0.5, -0.5]).view(2, 1, 1, 1).expand(2, 3, 2, 2),
        answerer,
        Meanings(),
        seed=0,
    )
    texts = [question.question for question in QUESTIONS[:2]]
    assert answerer.asked == [(0.5, texts[0]), (0.5, texts[1]), (-0.5, texts[0]), (-0.5, texts[1])]


def test_an_answer_among_the_choices_is_taken_literally() -> None:
    def unasked(_: Sequence[str]) -> Tensor:
        pytest.fail("there was nothing to compare")

    unasked.name = unasked.fingerprint = ""  # type: ignore[attr-defined]
    assert chosen("blue", ("red", "blue"), unasked) == "blue"  # type: ignore[arg-type]


def test_any_other_answer_is_the_choice_of_the_highest_cosine() -> None:
    """crimson (1, .2) is nearer to red (2, 0) than to blue, and a longer vector is not a nearer one."""
    assert chosen("crimson", ("green", "blue", "red"), Meanings()) == "red"
    assert chosen("green", ("red", "blue"), Meanings()) == "blue"


def test_the_watch_is_told(heard: Any) -> None:
    tifa(QUESTIONS, PICTURES.__getitem__, Brightness(), Meanings(), seed=0, watch=heard)
    assert [done for _, done, _ in heard.steps] == [0, 1, 2, 3]


def entry(**changed: object) -> dict[str, object]:
    return {
        "id": "coco_1",
        "caption": "a red dog",
        "question": "what color is the dog?",
        "choices": ["red", "blue"],
        "answer": "red",
        "element_type": "color",
        "element": "red",
        "coco_val_id": "1",
    } | changed


def written(folder: Path, content: object) -> Path:
    path = folder / "questions.json"
    path.write_text(json.dumps(content))
    return path


def test_the_published_layout_is_read(tmp_path: Path) -> None:
    question = Question("coco_1", "what color is the dog?", ("red", "blue"), "red", "color")
    assert read_questions(written(tmp_path, [entry(), entry(id=7)])) == (
        question,
        Question("7", question.question, question.choices, "red", "color"),
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "is no list of questions"),
        ({"questions": []}, "is no list of questions"),
        ([entry(), {"id": "coco_2"}], "question 1 of .* cannot be used"),
        ([entry(choices=[])], "question 0 of .* has no choices"),
        ([entry(answer=2)], "not all words are text"),
        ([entry(choices=None)], "question 0 of .* cannot be used"),
    ],
)
def test_another_layout_is_refused(content: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        read_questions(written(tmp_path, content))


def test_a_file_that_is_not_there_or_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("[")
    for name in ("none.json", "broken.json"):
        with pytest.raises(InputError, match="cannot be read"):
            read_questions(tmp_path / name)


def test_nothing_to_ask_and_nothing_to_look_at_are_refused() -> None:
    with pytest.raises(InputError, match="no question"):
        tifa((), PICTURES.__getitem__, Brightness(), Meanings(), seed=0)
    with pytest.raises(InputError, match="caption 'sun' has no picture"):
        tifa(QUESTIONS, lambda _: torch.zeros(0, 3, 2, 2), Brightness(), Meanings(), seed=0)


def test_captions_are_read_by_their_ids(tmp_path: Path) -> None:
    entries = [entry(caption="a red bus"), entry(id=7, caption="two dogs"), entry(id=7, caption="two dogs")]
    assert read_captions(written(tmp_path, entries)) == {"coco_1": "a red bus", "7": "two dogs"}
    with pytest.raises(InputError, match=r"question 0 of .* has no 'caption'"):
        read_captions(written(tmp_path, [{"id": "coco_1"}]))


def test_answers_are_counted_by_caption_and_type() -> None:
    found = answered(QUESTIONS, PICTURES.__getitem__, Brightness(), Meanings())
    assert (found.ids, found.types) == (("sun", "night", "lamps"), ("color", "counting", "object"))
    assert found.counts.tolist() == [
        [[1, 1], [0, 1], [1, 1]],
        [[0, 0], [0, 0], [0, 1]],
        [[0, 0], [0, 0], [3, 4]],
    ]
