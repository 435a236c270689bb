"""The targeted error, with the arithmetic written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from apdm.losses.targeted import targeted_error
from apdm.schedules import DDPMSchedule

KEPT = torch.tensor([0.64, 0.36])  # signal .8 and .6, noise .6 and .8


def column(*values: float) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1)


def test_the_step_is_compared_with_the_target_one_time_earlier() -> None:
    """Ho et al., eq. 7, at t = 1 with beta = 1 - .36 / .64."""
    noisy, predicted, target, noise = 2.0, 0.5, 3.0, -1.0
    beta = 1 - 0.36 / 0.64
    clean = (noisy - 0.8 * predicted) / 0.6
    back = (0.8 * beta * clean + (1 - beta) ** 0.5 * (1 - 0.64) * noisy) / (1 - 0.36)
    expected = (back - (0.8 * target + 0.6 * noise)) ** 2
    parts = (column(value) for value in (noisy, predicted, target, noise))
    found = targeted_error(DDPMSchedule(KEPT), *parts, torch.tensor([1]))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_before_the_first_time_comes_the_first_not_the_last() -> None:
    """t - 1 = -1 would take the last time's noise."""
    noisy, predicted, target, noise = 2.0, 0.5, 3.0, -1.0
    clean = (noisy - 0.6 * predicted) / 0.8
    expected = (clean - (0.8 * target + 0.6 * noise)) ** 2
    parts = (column(value) for value in (noisy, predicted, target, noise))
    found = targeted_error(DDPMSchedule(KEPT), *parts, torch.tensor([0]))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_nothing_is_reduced_and_one_target_serves_all() -> None:
    noisy = torch.zeros(2, 4, 3, 3)
    found = targeted_error(
        DDPMSchedule(KEPT), noisy, noisy, torch.ones(1, 4, 3, 3), noisy, torch.tensor([1, 1])
    )
    assert found.shape == (2, 4, 3, 3)
    assert torch.allclose(found, torch.tensor(0.64))
