"""The distillation error of two networks of one weight, the arithmetic written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from apdm.backbones.base import Condition
from apdm.losses.distillation import distillation_error
from apdm.schedules import DDPMSchedule

KEPT = torch.tensor([0.64, 0.36])  # signal .8 and .6, noise .6 and .8
CLEAN, NOISE, T = torch.tensor([2.0, 5.0]), torch.tensor([-1.0, 3.0]), torch.tensor([0, 1])
NOISY = [0.8 * 2 + 0.6 * -1, 0.6 * 5 + 0.8 * 3]


class Scaled:
    """Predicts weight * z_t + the condition's number."""

    def __init__(self, weight: float) -> None:
        self.weight = nn.Parameter(torch.tensor(weight))
        self.schedule = DDPMSchedule(KEPT, "epsilon")

    def predict(self, noisy: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return self.weight * noisy + condition.parts["text"].view(-1, 1, 1, 1)


def errors(model: Scaled, teacher: Scaled) -> Tensor:
    condition = Condition({"text": torch.tensor([10.0, 20.0])})
    clean, noise = (values.view(2, 1, 1, 1) for values in (CLEAN, NOISE))
    return distillation_error(model, teacher, clean, condition, noise, T)  # pyright: ignore


def test_it_is_the_squared_difference_of_the_predictions() -> None:
    model, teacher = Scaled(0.5), Scaled(0.2)
    expected = [(0.3 * z) ** 2 for z in NOISY]
    assert errors(model, teacher).flatten().tolist() == pytest.approx(expected, rel=1e-5)


def test_only_the_pupil_learns() -> None:
    model, teacher = Scaled(0.5), Scaled(0.2)
    errors(model, teacher).sum().backward()
    assert model.weight.grad is not None
    assert model.weight.grad.item() == pytest.approx(sum(2 * 0.3 * z**2 for z in NOISY), rel=1e-5)
    assert teacher.weight.grad is None


def test_where_nothing_has_changed_there_is_no_pull() -> None:
    model = Scaled(0.5)
    errors(model, Scaled(0.5)).sum().backward()
    assert model.weight.grad is not None
    assert model.weight.grad.item() == 0
