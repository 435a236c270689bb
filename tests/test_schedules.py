"""Noise schedules, by arithmetic and against diffusers' scheduler."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import compute_density_for_timestep_sampling, compute_loss_weighting_for_sd3
from torch.testing import assert_close

from apdm.errors import InputError
from apdm.schedules import MODE_SCALE, DDPMSchedule, FlowSchedule, Weighting, discrete
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


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_a_step_back_is_diffusers_ancestral_step(prediction_type: str) -> None:
    scheduler: Any = DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type=prediction_type,
    )
    schedule = DDPMSchedule(scheduler.alphas_cumprod, prediction_type)
    times = torch.tensor([0, 1, 2, 500, 999])
    noisy, predicted = torch.randn(2, 5, 4, 2, 2, generator=generator(0)).unbind()
    mean, deviation = schedule.step_back(noisy, predicted, times)
    for row, t in enumerate(times.tolist()):
        step = scheduler.step(predicted[row], t, noisy[row], generator=generator(1)).prev_sample
        noise = torch.randn(4, 2, 2, generator=generator(1))
        assert_close(mean[row] + deviation[row] * noise, step, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_first_time_leads_back_to_the_clean_latent(prediction_type: str) -> None:
    schedule = DDPMSchedule(KEPT, prediction_type)
    clean, noise, t = column(2.0, 5.0), column(-1.0, 3.0), torch.tensor([0, 1])
    noisy, target = schedule.add_noise(clean, noise, t), schedule.target(clean, noise, t)
    assert_close(schedule.clean(noisy, target, t), clean)
    mean, deviation = schedule.step_back(noisy, target, t)
    assert_close(mean[0], clean[0])
    assert deviation[0] == 0 < deviation[1]


def test_only_a_schedule_that_counts_is_discrete() -> None:
    class Continuous:
        def sample_times(self, count, generator): ...
        def add_noise(self, clean, noise, t): ...
        def target(self, clean, noise, t): ...
        def weight(self, t): ...

    schedule = DDPMSchedule(KEPT)
    assert discrete(schedule) is schedule
    assert schedule.steps == 2
    with pytest.raises(InputError, match="time is continuous"):
        discrete(Continuous())


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


SIGMAS = torch.tensor([1.0, 0.8, 0.5, 0.2])  # times 4, 3.2, 2, .8


def test_flow_goes_straight_from_the_picture_to_noise() -> None:
    schedule, t = FlowSchedule(SIGMAS), torch.tensor([3.2, 0.8])
    assert_close(schedule.add_noise(column(2, 2), column(-1, -1), t), column(0.2 * 2 - 0.8, 0.8 * 2 - 0.2))
    assert_close(schedule.target(column(2, 2), column(-1, 3), t), column(-1 - 2, 3 - 2))


def test_preconditioning_is_a_weight_of_sigma_squared() -> None:
    t = torch.tensor([4.0, 2.0])
    assert_close(FlowSchedule(SIGMAS).weight(t), column(1, 0.25))
    assert_close(FlowSchedule(SIGMAS, precondition=False).weight(t), column(1.0, 1.0))


def test_flow_agrees_with_diffusers_at_all_times() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    schedule, t = FlowSchedule(scheduler.sigmas), scheduler.timesteps[::7]
    clean, noise = torch.randn(2, len(t), 4, 2, 2, generator=generator(0)).unbind()
    assert_close(schedule.add_noise(clean, noise, t), scheduler.scale_noise(clean, t, noise))


@pytest.mark.parametrize("weighting", ["logit_normal", "mode", "uniform", "sigma_sqrt", "cosmap"])
def test_flow_weights_are_those_of_the_training_script(weighting: Weighting) -> None:
    sigma = SIGMAS.view(-1, 1, 1, 1)
    expected: Any = compute_loss_weighting_for_sd3(weighting, sigma)
    assert_close(FlowSchedule(SIGMAS, weighting, precondition=False).weight(4 * SIGMAS), expected)
    assert_close(FlowSchedule(SIGMAS, weighting).weight(4 * SIGMAS), expected * sigma**2)


@pytest.mark.parametrize("weighting", ["logit_normal", "mode", "uniform", "sigma_sqrt", "cosmap"])
def test_flow_times_are_distributed_as_the_training_script_draws_them(weighting: Weighting) -> None:
    """Shares of tenths of the table; the deviation of each is below .006."""
    steps, count = 1000, 5000
    sigmas = 1 - torch.arange(steps) / steps  # place in the table = steps * (1 - sigma)
    times = FlowSchedule(sigmas, weighting).sample_times(count, generator(0))
    draws = {"logit_mean": 0.0, "logit_std": 1.0, "mode_scale": MODE_SCALE, "generator": generator(1)}
    expected = compute_density_for_timestep_sampling(weighting, count, **draws)
    shares = [torch.histc(u, 10, 0, 1) / count for u in (1 - times / steps, expected)]
    assert_close(*shares, rtol=0, atol=0.025)
    assert set(times.tolist()) <= set((steps * sigmas).tolist())


def test_a_draw_at_the_very_end_of_mode_is_the_last_time() -> None:
    schedule = FlowSchedule(SIGMAS, "mode")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", lambda count, generator: torch.zeros(count))
        assert schedule.sample_times(2, generator(0)).tolist() == pytest.approx([0.8, 0.8])
