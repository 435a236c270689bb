"""CMMD by its formula, on features whose distances are known."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
import torch
from torch import Tensor

from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics.cmmd import cmmd, cmmd_score, gaussian_kernel
from apdm.seeding import generator


def normal(n: int, d: int, *keys: str | int, mean: float = 0.0) -> Tensor:
    return torch.randn(n, d, generator=generator(0, *keys)) + mean


class Corner:
    """The first pixel as features."""

    name, fingerprint, dim = "corner", "0f", 3

    def __call__(self, pixels: Tensor) -> Tensor:
        return pixels[:, :, 0, 0]


def test_the_kernel_by_hand_of_unit_vectors() -> None:
    """(3, 0) is (1, 0) at unit length: at distances 0, sqrt 2 and 2 of (1, 0), (0, 1) and (-1, 0)."""
    kernel = gaussian_kernel(torch.tensor([[3.0, 0.0]]), torch.tensor([[5.0, 0.0], [0.0, 2.0], [-4.0, 0.0]]))
    assert kernel[0].tolist() == pytest.approx([1, exp(-2 / 200), exp(-4 / 200)])


def test_the_estimator_by_hand_counts_the_diagonals() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    y = torch.tensor([[1.0, 0.0]]).repeat(5, 1)
    k = exp(-0.01)  # of (1, 0) and (0, 1): half of the pairs in x, half of those between; all in y are equal
    assert cmmd(x, y, seed=0).value == pytest.approx(1000 * ((1 + k) / 2 + 1 - 2 * (1 + k) / 2))


def test_a_set_is_at_no_distance_from_itself() -> None:
    x = normal(20, 4, "x")
    assert cmmd(x, x, seed=0).value == pytest.approx(0, abs=1e-9)


def test_the_interval_is_as_wide_as_the_value_scatters() -> None:
    intervals = [cmmd(normal(40, 3, "x", i), normal(40, 3, "y", i, mean=1.0), seed=0) for i in range(100)]
    scatter = np.std([interval.value for interval in intervals])
    width = np.median([interval.high - interval.low for interval in intervals])
    assert width == pytest.approx(2 * 1.96 * scatter, rel=0.25)
    assert all(interval.low < interval.value < interval.high for interval in intervals)


def test_the_score_is_printed_under_the_extractors_name() -> None:
    images, references = torch.rand(5, 3, 2, 2), torch.rand(6, 3, 2, 2)
    score = cmmd_score(Corner(), images, references, seed=0)
    assert score.value == cmmd(images[:, :, 0, 0], references[:, :, 0, 0], seed=0).value
    assert (score.metric, score.n) == ("CMMD over corner", 5)
    assert (score.direction, score.extractor, score.fingerprint) == (
        Direction.LOWER_PRESERVES,
        "corner",
        "0f",
    )


def test_too_few_images_are_refused() -> None:
    for n, m in ((3, 9), (9, 3)):
        with pytest.raises(InputError, match=f"CMMD of {n} and {m} images"):
            cmmd(torch.ones(n, 2), torch.ones(m, 2), seed=0)
