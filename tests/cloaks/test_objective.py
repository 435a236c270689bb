"""What cloaks climb, against the formulas from the components alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor
from torch.testing import assert_close

from apdm.backbones.base import draw_noise
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.backbones.tiny import tiny_stable_diffusion
from apdm.cloaks.objective import instance_error, sample, sample_error, targeted_objective
from apdm.cloaks.target import pattern
from apdm.errors import InputError
from apdm.seeding import generator

PROMPT = "a photo of sks dog"


def drawn(model: StableDiffusion, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, noise and times in the order of the draws, by hand."""
    draws = generator(5)
    moments = model.encode_images(pictures)
    clean = moments.mean + moments.deviation * draw_noise(moments.mean, draws)
    noise = draw_noise(clean, draws)
    return clean, noise, model.schedule.sample_times(len(pictures), draws)


def test_a_sample_is_a_draw_of_the_posterior_with_noise_and_a_time_for_each(tiny, pictures) -> None:
    found = sample(tiny, pictures(3, 1), generator(5))
    assert_close(tuple(found), drawn(tiny, pictures(3, 1)))
    assert len({row.sum().item() for row in found.noise}) == 3
    given = sample(tiny, pictures(3, 1), generator(5), torch.tensor([1, 2, 3]))
    assert given.t.tolist() == [1, 2, 3]
    assert torch.equal(given.noise, found.noise)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_instance_error_is_dreambooths_and_reaches_the_pixels(prediction_type: str, pictures) -> None:
    model = tiny_stable_diffusion(prediction_type)
    leaf = pictures(2, 1).requires_grad_()
    error = instance_error(model, PROMPT)(leaf, generator(5))
    scheduler: Any = DDPMScheduler.from_config(model.pipeline.scheduler.config)
    clean, noise, t = drawn(model, leaf)
    target = noise if prediction_type == "epsilon" else scheduler.get_velocity(clean, noise, t)
    text = model.encode_prompts([PROMPT] * 2).parts["text"]
    predicted = model.network(scheduler.add_noise(clean, noise, t), t, text).sample
    expected = (predicted - target).square().mean()
    assert_close(error, expected)
    (mine,), (theirs,) = (torch.autograd.grad(it, leaf, retain_graph=True) for it in (error, expected))
    assert_close(mine, theirs)
    assert (mine.abs().sum((1, 2, 3)) > 0).all()


def test_a_condition_of_one_row_serves_all_and_of_many_each(tiny, pictures) -> None:
    at = sample(tiny, pictures(2, 1), generator(5))
    one, other = (tiny.encode_prompts([text]) for text in (PROMPT, "cat cat cat"))
    both = sample_error(tiny, at, one.cat([one, other]))
    assert_close(both[0], sample_error(tiny, at, one)[0])
    assert_close(both[1], sample_error(tiny, at, other)[1])
    assert not torch.allclose(both[1], sample_error(tiny, at, one)[1])


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_targeted_objective_is_l_less_the_way_to_the_target(prediction_type: str, pictures) -> None:
    model = tiny_stable_diffusion(prediction_type)
    target = pattern(16, 16)
    leaf = pictures(2, 1).requires_grad_()
    height = targeted_objective(model, PROMPT, target)(leaf, generator(5))
    scheduler: Any = DDPMScheduler.from_config(model.pipeline.scheduler.config, clip_sample=False)
    clean, noise, t = drawn(model, leaf)
    text = model.encode_prompts([PROMPT] * 2).parts["text"]
    noisy = scheduler.add_noise(clean, noise, t)
    predicted = model.network(noisy, t, text).sample
    aim = scheduler.add_noise(model.encode_images(target).mean, noise, t - 1)
    way = []
    for row in range(2):
        step = scheduler.step(predicted[row], int(t[row]), noisy[row], generator=generator(1)).prev_sample
        deviation = scheduler._get_variance(int(t[row])).sqrt()
        way.append(step - deviation * torch.randn(4, 8, 8, generator=generator(1)) - aim[row])
    untargeted = instance_error(model, PROMPT)(leaf, generator(5))
    expected = untargeted - torch.stack(way).square().mean()
    assert_close(height, expected, rtol=1e-4, atol=1e-5)
    (mine,), (theirs,) = (torch.autograd.grad(it, leaf, retain_graph=True) for it in (height, expected))
    assert_close(mine, theirs, rtol=1e-3, atol=1e-6)


def test_a_target_needs_a_schedule_that_counts(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny, "schedule", object())
    with pytest.raises(InputError, match="time is continuous"):
        targeted_objective(tiny, PROMPT, pattern(16, 16))
