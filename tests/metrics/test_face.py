"""FDFR and ISM with made-up faces whose cosines are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics.face import Face, fdfr_score, ism_score, largest_faces

PERSON = (1.0, 0.0)


def face(embedding: tuple[float, float], side: float = 10.0) -> Face:
    return Face((1.0, 2.0, 1.0 + side, 2.0 + 2 * side), torch.tensor(embedding))


class Told:
    """Finds in picture i the faces that it was told."""

    name, fingerprint = "told", "aa"

    def __init__(self, *faces: list[Face]) -> None:
        self.faces = list(faces)

    def __call__(self, pixels: Tensor) -> list[list[Face]]:
        assert len(pixels) == len(self.faces)
        return self.faces


BACKEND = Told()


def test_the_largest_box_is_the_face_of_a_picture() -> None:
    small, wide, tall = face(PERSON, 4), Face((0, 0, 9, 2), torch.ones(2)), Face((0, 0, 2, 11), torch.ones(2))
    backend = Told([small, wide, tall], [], [wide, tall], [tall, wide])
    assert largest_faces(backend, torch.zeros(4, 3, 1, 1)) == [small, None, tall, tall]  # 32, 18 and 22


def test_fdfr_is_the_share_of_pictures_without_a_face() -> None:
    score = fdfr_score([face(PERSON), None, None, None], BACKEND, seed=0)
    assert score.value == 0.75
    assert 0 < score.low < 0.75 < score.high == 1
    assert (score.metric, score.n, score.direction) == ("FDFR", 4, Direction.HIGHER_PROTECTS)
    assert (score.extractor, score.fingerprint) == ("told", "aa")


def test_ism_is_the_mean_cosine_to_the_mean_of_the_references_as_they_are() -> None:
    """The mean of (4, 0) and (0, 3) points along (4, 3): the longer one counts more. Cosines .8 and .6."""
    references = [face((4.0, 0.0)), None, face((0.0, 3.0))]
    score = ism_score([face(PERSON), None, face((0.0, 7.0))], references, BACKEND, seed=0)
    assert score.value == pytest.approx(0.7)
    assert (score.low, score.high) == pytest.approx((0.6, 0.8))
    assert (score.metric, score.n, score.excluded) == ("ISM", 2, 1)
    assert score.direction is Direction.LOWER_PROTECTS
    assert (score.extractor, score.fingerprint) == ("told", "aa")


def test_without_a_face_ism_is_undefined_and_says_how_many_were_left_out() -> None:
    score = ism_score([None, None, None], [face(PERSON)], BACKEND, seed=0)
    assert math.isnan(score.value)
    assert (score.n, score.excluded) == (0, 3)
    assert score.as_dict()["value"] is None


def test_references_without_a_face_and_no_pictures_are_refused() -> None:
    with pytest.raises(InputError, match="2 references show no face"):
        ism_score([face(PERSON)], [None, None], BACKEND, seed=0)
    with pytest.raises(InputError, match="empty"):
        ism_score([], [face(PERSON)], BACKEND, seed=0)
    with pytest.raises(InputError, match="empty"):
        fdfr_score([], BACKEND, seed=0)
