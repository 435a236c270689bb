from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from apdm.metrics.kid import kid, polynomial_kernel
from apdm.seeding import generator


def normal(n: int, d: int, *keys: str | int, mean: float = 0.0) -> Tensor:
    return torch.randn(n, d, generator=generator(0, *keys)) + mean


def test_the_kernel_by_hand() -> None:
    kernel = polynomial_kernel(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.5], [-2.0, 0.0]]))
    assert kernel.tolist() == [[(4 / 2 + 1) ** 3, (-2 / 2 + 1) ** 3]]


def test_the_estimator_by_hand() -> None:
    x = torch.tensor([[0.0], [1.0], [0.0], [1.0]])
    y = torch.full((4, 1), 2.0)
    # Of 12 ordered pairs in x, 2 are (0, 0): 1, 2 are (1, 1): 8, 8 are mixed: 1; in y all are (2, 2): 125;
    # between them one half is (0, 2): 1, the other (1, 2): 27.
    expected = (2 * 1 + 2 * 8 + 8 * 1) / 12 + 125 - 2 * (1 + 27) / 2
    assert kid(x, y, seed=0).value == pytest.approx(expected)


def test_sides_of_different_size_by_hand() -> None:
    x, y = torch.ones(4, 1), torch.zeros(7, 1)
    assert kid(x, y, seed=0).value == pytest.approx(8 + 1 - 2 * 1)


def test_it_is_unbiased_where_the_distributions_are_equal() -> None:
    values = [kid(normal(6, 3, "x", i), normal(6, 3, "y", i), seed=0).value for i in range(300)]
    error = np.std(values) / np.sqrt(len(values))
    assert min(values) < 0
    assert abs(np.mean(values)) < 3 * error
    bias = 2 * (8 - 2) / 6  # at least, were the diagonals counted: mean k(x, x) >= 8, mean k(x, x') = 2
    assert bias > 10 * error


def test_two_halves_of_one_set_are_near_and_another_set_is_far() -> None:
    one = normal(200, 8, "one")
    near = kid(one[:100], one[100:], seed=0)
    far = kid(one[:100], normal(100, 8, "other", mean=1.0), seed=0)
    assert near.low < 0 < near.high
    assert abs(near.value) < 0.2 < far.low < far.value < far.high
