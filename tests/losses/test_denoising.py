"""The denoising error, with a network of one weight and the arithmetic written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from apdm.backbones.base import Backbone, Condition
from apdm.losses.denoising import denoising_error
from apdm.schedules import DDPMSchedule, NoiseSchedule

KEPT = torch.tensor([0.64, 0.36])  # signal .8 and .6, noise .6 and .8
CLEAN, NOISE, T = torch.tensor([2.0, 5.0]), torch.tensor([-1.0, 3.0]), torch.tensor([0, 1])
NOISY = [0.8 * 2 + 0.6 * -1, 0.6 * 5 + 0.8 * 3]


class Linear(Backbone):
    """Predicts weight * z_t + the condition's number, and notes what it was given."""

    def __init__(self, schedule: NoiseSchedule) -> None:
        self.weight = nn.Parameter(torch.tensor(0.5))
        self.network = nn.ParameterList([self.weight])
        self.schedule = schedule
        self.times: Tensor | None = None

    def predict(self, noisy: Tensor, t: Tensor, condition: Condition) -> Tensor:
        self.times = t
        return self.weight * noisy + condition.parts["text"].view(-1, 1, 1, 1)

    def encode_images(self, pixels): ...
    def encode_prompts(self, prompts): ...
    def generate(self, prompts, seeds, sampling, watch=None): ...
    def copy(self): ...
    def save(self, folder): ...
    def save_adapters(self, folder): ...


def errors(model: Linear) -> Tensor:
    condition = Condition({"text": torch.tensor([10.0, 20.0])})
    clean, noise = (values.view(2, 1, 1, 1) for values in (CLEAN, NOISE))
    return denoising_error(model, clean, condition, noise, T)


def test_the_error_of_an_epsilon_model() -> None:
    model = Linear(DDPMSchedule(KEPT))
    expected = [(0.5 * NOISY[0] + 10 - -1) ** 2, (0.5 * NOISY[1] + 20 - 3) ** 2]
    assert errors(model).flatten().tolist() == pytest.approx(expected)
    assert model.times is T


def test_the_error_of_a_v_model_uses_the_clean_latent() -> None:
    """The published code takes the velocity from the network's own prediction."""
    velocity = [0.8 * -1 - 0.6 * 2, 0.6 * 3 - 0.8 * 5]
    expected = [(0.5 * NOISY[0] + 10 - velocity[0]) ** 2, (0.5 * NOISY[1] + 20 - velocity[1]) ** 2]
    found = errors(Linear(DDPMSchedule(KEPT, "v_prediction")))
    assert found.flatten().tolist() == pytest.approx(expected)


def test_the_schedule_weighs_the_samples() -> None:
    class Weighted(DDPMSchedule):
        def weight(self, t: Tensor) -> Tensor:
            return torch.tensor([3.0, 7.0]).view(-1, 1, 1, 1)

    plain, weighted = errors(Linear(DDPMSchedule(KEPT))), errors(Linear(Weighted(KEPT)))
    assert (weighted / plain).flatten().tolist() == pytest.approx([3, 7])


def test_nothing_is_reduced() -> None:
    model = Linear(DDPMSchedule(KEPT))
    one = Condition({"text": torch.zeros(2)})
    assert denoising_error(model, torch.ones(2, 4, 3, 5), one, torch.ones(2, 4, 3, 5), T).shape == (
        2,
        4,
        3,
        5,
    )


def test_the_gradient_reaches_the_network() -> None:
    model = Linear(DDPMSchedule(KEPT))
    errors(model)[0].sum().backward()
    assert model.weight.grad is not None
    assert model.weight.grad.item() == pytest.approx(2 * (0.5 * NOISY[0] + 11) * NOISY[0])
