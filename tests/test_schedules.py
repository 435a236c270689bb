"""Noise schedules, by arithmetic and against diffusers' scheduler."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from torch.testing import assert_close

from apdm.errors import InputError
from apdm.schedules import DDPMSchedule
from apdm.seeding import generator

KEPT = torch.tensor([0.64, 0.36])  # signal .8 and .6, noise .6 and .8


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1)


def test_noise_is_added_in_proportion_to_the_time() -> None:
    noisy = DDPMSchedule(KEPT).add_noise(column(2, 2), column(-1, -1), torch.tensor([0, 1]))
    assert_close(noisy, column(0.8 * 2 - 0.6, 0.6 * 2 - 0.8))


def test_epsilon_models_predict_the_noise() -> None:
    noise = column(-1, 3)
    assert torch.equal(DDPMSchedule(KEPT).target(column(2, 2), noise, torch.tensor([0, 1])), noise)


def test_v_models_predict_the_velocity_of_the_clean_latent() -> None:
    target = DDPMSchedule(KEPT, "v_prediction").target(column(2, 2), column(-1, -1), torch.tensor([0, 1]))
    assert_close(target, column(0.8 * -1 - 0.6 * 2, 0.6 * -1 - 0.8 * 2))


def test_all_times_agree_with_diffusers() -> None:
    scheduler: Any = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    schedule = DDPMSchedule(scheduler.alphas_cumprod, "v_prediction")
    t = torch.arange(1000)
    clean, noise = torch.randn(2, 1000, 4, 2, 2, generator=generator(0)).unbind()
    assert_close(schedule.add_noise(clean, noise, t), scheduler.add_noise(clean, noise, t))
    assert_close(schedule.target(clean, noise, t), scheduler.get_velocity(clean, noise, t))


def test_times_are_uniform_over_the_whole_schedule() -> None:
    times = DDPMSchedule(torch.linspace(0.9, 0.1, 10)).sample_times(5000, generator(0))
    counts = torch.bincount(times, minlength=10)
    assert len(counts) == 10
    assert counts.min() > 400  # 500 expected, deviation 21
    assert counts.max() < 600


def test_times_depend_on_their_generator_only() -> None:
    schedule = DDPMSchedule(torch.linspace(0.9, 0.1, 1000))
    first = schedule.sample_times(8, generator(1))
    torch.manual_seed(5)
    assert torch.equal(first, schedule.sample_times(8, generator(1)))
    assert not torch.equal(first, schedule.sample_times(8, generator(2)))


def test_every_sample_weighs_one() -> None:
    assert torch.equal(DDPMSchedule(KEPT).weight(torch.tensor([0, 1, 1])), torch.ones(3, 1, 1, 1))


def test_an_unknown_prediction_type_is_refused() -> None:
    with pytest.raises(InputError, match=r"predicts 'sample': use a model .* 'epsilon' or 'v_prediction'"):
        DDPMSchedule(KEPT, "sample")
