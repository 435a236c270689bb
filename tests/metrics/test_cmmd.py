"""CMMD by its formula, on features whose distances are known."""

from __future__ import annotations

from math import exp

import pytest
import torch

from apdm.metrics.cmmd import cmmd, gaussian_kernel
from apdm.seeding import generator


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
    x = torch.randn(20, 4, generator=generator(0, "x"))
    assert cmmd(x, x, seed=0).value == pytest.approx(0, abs=1e-9)
