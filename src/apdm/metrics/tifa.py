"""TIFA: does a picture show what its caption says, asked question by question (Hu et al. 2023)?

The questions come from a file, the published `tifa_v1.0_question_answers.json` or one of its layout; who
answers and who compares answers are two small protocols, so that any network, or a reader of toys, can do it.
A value belongs to its answerer and is compared with values of the same one only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics.base import Score, joint_fingerprint
from apdm.metrics.similarity import cosine_matrix
from apdm.metrics.statistics import bootstrap, pooled_share
from apdm.types import Pixels
from apdm.watch import Watch, silent


class Answerer(Protocol):
    """Answers in free words: one question for each picture, one answer each."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    def __call__(self, pixels: Pixels, questions: Sequence[str]) -> list[str]: ...


class SentenceEncoder(Protocol):
    """Texts in, one vector each out; texts of one meaning have a high cosine."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    def __call__(self, texts: Sequence[str]) -> Float[Tensor, "n d"]: ...


@dataclass(frozen=True)
class Question:
    """About the pictures of caption `id`. `element_type` is what it asks for: object, color, ..."""

    id: str
    question: str
    choices: tuple[str, ...]
    answer: str
    element_type: str


@dataclass(frozen=True)
class Tifa:
    """`score`: the mean over captions of the share of right answers; n counts captions. `by_type`: the share
    of right answers to all questions of an element type; n counts answers. Intervals are over captions."""

    score: Score
    by_type: Mapping[str, Score]


@dataclass(frozen=True)
class Answered:
    """`counts`: the right answers and all, of each caption (`ids`) and element type (`types`)."""

    ids: tuple[str, ...]
    types: tuple[str, ...]
    counts: Float[ndarray, "captions types 2"]


def read_questions(path: Path) -> tuple[Question, ...]:
    """A list of objects with id, question, choices, answer and element_type; other keys are left alone.

    Raises `InputError` for a file of another layout.
    """
    listed = _entries(path)
    return tuple(_question(entry, f"question {i} of {path}") for i, entry in enumerate(listed))


def read_captions(path: Path) -> dict[str, str]:
    """The captions that the file's questions ask about, by their ids. Raises `InputError` where one lacks."""
    found: dict[str, str] = {}
    for number, entry in enumerate(_entries(path)):
        try:
            found[str(entry["id"])] = str(entry["caption"])
        except (KeyError, TypeError) as error:
            raise InputError(
                f"question {number} of {path} has no {error}", fix="see TIFA's own file"
            ) from error
    return found


def _entries(path: Path) -> list[Any]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read ({error})", fix="give TIFA's question_answers.json"
        ) from error
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path} is no list of questions", fix="give TIFA's question_answers.json")
    return cast("list[Any]", entries)


def chosen(answer: str, choices: Sequence[str], encoder: SentenceEncoder) -> str:
    """The choice that a free answer stands for: itself if it is one, else the one of highest cosine."""
    if answer in choices:
        return answer
    vectors = encoder([answer, *choices])
    return choices[int(cosine_matrix(vectors[:1], vectors[1:]).argmax())]


def tifa(
    questions: Sequence[Question],
    pictures: Callable[[str], Pixels],
    answerer: Answerer,
    encoder: SentenceEncoder,
    *,
    seed: int,
    watch: Watch = silent,
) -> Tifa:
    """TIFA of the captions that `questions` ask about, of the pictures that `answered` asks for."""
    found = answered(questions, pictures, answerer, encoder, watch)

    def score(
        metric: str, estimator: Callable[..., float], held: Float[ndarray, "captions 2"], n: int
    ) -> Score:
        interval = bootstrap(estimator, held, seed=seed)
        return Score.of(
            interval,
            metric=metric,
            n=n,
            direction=Direction.HIGHER_PRESERVES,
            extractor=f"{answerer.name}, {encoder.name}",
            fingerprint=joint_fingerprint(answerer.fingerprint, encoder.fingerprint),
        )

    by_type = {}
    for column, name in enumerate(found.types):
        held = found.counts[found.counts[:, column, 1] > 0, column]
        by_type[name] = score(f"TIFA, {name}", pooled_share, held, int(held[:, 1].sum()))
    return Tifa(score("TIFA", mean_accuracy, found.counts.sum(1), len(found.ids)), by_type)


def answered(
    questions: Sequence[Question],
    pictures: Callable[[str], Pixels],
    answerer: Answerer,
    encoder: SentenceEncoder,
    watch: Watch = silent,
) -> Answered:
    """The answers to `questions`; `pictures` gives one caption's by its id, one or more.

    A caption's accuracy counts all its pictures and questions alike. Raises `InputError` if there is no
    question.
    """
    by_caption: dict[str, list[Question]] = {}
    for question in questions:
        by_caption.setdefault(question.id, []).append(question)
    if not by_caption:
        raise InputError("there is no question to ask", fix="give one or more")
    types = sorted({question.element_type for question in questions})
    counts = np.zeros((len(by_caption), len(types), 2))  # right and asked, of each caption and type
    for row, (id, asked) in enumerate(by_caption.items()):
        watch("TIFA", row, len(by_caption), {})
        right = _right(pictures(id), asked, answerer, encoder)
        for question, share in zip(asked, right.T, strict=True):
            counts[row, types.index(question.element_type)] += share.sum(), len(share)
    watch("TIFA", len(by_caption), len(by_caption), {})
    return Answered(tuple(by_caption), tuple(types), counts)


def mean_accuracy(counts: Float[ndarray, "captions 2"]) -> float:
    """Mean over captions of right / asked."""
    return float((counts[:, 0] / counts[:, 1]).mean())


def _right(
    pixels: Pixels, asked: Sequence[Question], answerer: Answerer, encoder: SentenceEncoder
) -> Float[ndarray, "pictures questions"]:
    """1 where the choice that the answer stands for is the right one."""
    if len(pixels) == 0:
        raise InputError(f"caption '{asked[0].id}' has no picture", fix="draw one or more")
    texts = [question.question for question in asked] * len(pixels)
    answers = answerer(pixels.repeat_interleave(len(asked), dim=0), texts)
    right = [
        chosen(answer, question.choices, encoder) == question.answer
        for answer, question in zip(answers, [*asked] * len(pixels), strict=True)
    ]
    return np.array(right, dtype=float).reshape(len(pixels), len(asked))


def _question(entry: Any, where: str) -> Question:
    try:
        found = Question(
            str(entry["id"]),
            entry["question"],
            tuple(entry["choices"]),
            entry["answer"],
            entry["element_type"],
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{where} cannot be used ({error})", fix="see TIFA's own file") from error
    texts = (found.question, found.answer, found.element_type, *found.choices)
    if not found.choices or not all(isinstance(text, str) for text in texts):
        raise InputError(f"{where} has no choices, or not all words are text", fix="see TIFA's own file")
    return found
