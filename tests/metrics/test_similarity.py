from __future__ import annotations

import pytest
import torch
from torch import Tensor

from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics.similarity import cosine_matrix, per_image_similarity, similarity_score, similarity_within


class Corner:
    """The first pixel's red and green as features."""

    name, fingerprint, dim = "corner", "0f", 2

    def __call__(self, pixels: Tensor) -> Tensor:
        return pixels[:, :2, 0, 0]


def pictures(*features: tuple[float, float]) -> Tensor:
    pixels = torch.zeros(len(features), 3, 2, 2)
    pixels[:, :2] = torch.tensor(features).reshape(-1, 2)[:, :, None, None]
    return pixels


EAST, NORTH, NORTH_EAST = (0.5, 0.0), (0.0, 0.2), (0.3, 0.3)
HALF = 0.5**0.5  # cosine of 45 degrees


def test_cosines_by_hand() -> None:
    matrix = cosine_matrix(torch.tensor([EAST, NORTH]), torch.tensor([EAST, NORTH_EAST, (-1.0, 0.0)]))
    expected = torch.tensor([[1, HALF, -1], [0, HALF, 0]], dtype=torch.float64)
    assert torch.allclose(matrix, expected, atol=1e-7)


def test_each_image_has_its_mean_over_the_references() -> None:
    values = per_image_similarity(Corner(), pictures(EAST, NORTH_EAST), pictures(EAST, NORTH, NORTH))
    assert values.tolist() == pytest.approx([1 / 3, HALF])


def test_its_mean_is_the_mean_over_all_pairs() -> None:
    draws = torch.Generator().manual_seed(0)
    images = torch.rand(5, 3, 2, 2, generator=draws) * 2 - 1
    references = torch.rand(3, 3, 2, 2, generator=draws) * 2 - 1
    pairs = [
        torch.cosine_similarity(Corner()(image[None]), Corner()(reference[None])).item()
        for image in images
        for reference in references
    ]
    mean = per_image_similarity(Corner(), images, references).mean().item()
    assert mean == pytest.approx(sum(pairs) / 15, abs=1e-6)


def test_within_a_set_no_image_meets_itself() -> None:
    values = similarity_within(Corner(), pictures(EAST, NORTH, NORTH_EAST))
    assert values.tolist() == pytest.approx([HALF / 2, HALF / 2, HALF])


def test_copies_of_one_image_are_fully_alike() -> None:
    assert similarity_within(Corner(), pictures(NORTH, NORTH, NORTH)).tolist() == pytest.approx([1, 1, 1])


def test_a_score_says_who_looked_and_at_how_many() -> None:
    score = similarity_score(Corner(), pictures(EAST, NORTH, NORTH, NORTH), pictures(EAST), seed=0)
    assert score.value == pytest.approx(0.25)
    assert (score.low, score.high) == pytest.approx((0, 0.75))  # of Binomial(4, 1/4) / 4
    assert (score.metric, score.n, score.direction) == ("similarity", 4, Direction.LOWER_PROTECTS)
    assert (score.extractor, score.fingerprint) == ("corner", "0f")


def test_nothing_to_compare_is_refused() -> None:
    for images, references in ((pictures(), pictures(EAST)), (pictures(EAST), pictures())):
        with pytest.raises(InputError, match="images and references"):
            per_image_similarity(Corner(), images, references)
    with pytest.raises(InputError, match="nothing to be compared with"):
        similarity_within(Corner(), pictures(EAST))
