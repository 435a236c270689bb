"""DreamBooth: the diffusers script's formula, and what the attack does to a model."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from torch import Tensor
from torch.testing import assert_close

from apdm.backbones.base import Backbone, EncodedImages, Moments
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.backbones.tiny import tiny_stable_diffusion
from apdm.losses.denoising import denoising_error
from apdm.personalizers import dreambooth
from apdm.personalizers.base import Material, personalize
from apdm.personalizers.dreambooth import DreamBooth
from apdm.seeding import generator

INSTANCE, CLASS = "a photo of sks dog", "a photo of dog"
HARD = DreamBooth(learning_rate=3e-3, max_train_steps=80)


def test_the_defaults_are_the_papers_attack() -> None:
    attack = DreamBooth()
    assert (attack.learning_rate, attack.max_train_steps, attack.train_batch_size) == (5e-6, 800, 1)
    assert (attack.prior_loss_weight, attack.max_grad_norm) == (1.0, 1.0)


def one_image(model: StableDiffusion, number: int, prompt: str) -> tuple[Tensor, EncodedImages]:
    """A random picture and its encoding, the posterior narrowed to its mean so that nothing is drawn."""
    pixels = torch.rand(1, 3, 16, 16, generator=generator(number)) * 2 - 1
    encoded = model.encode(pixels, prompt)
    mean = encoded.moments.mean
    return pixels, EncodedImages(Moments(mean, torch.zeros_like(mean)), encoded.condition)


def scripts_loss(
    pipeline, pixels: Tensor, prompts: list[str], noise: Tensor, t: Tensor, weight: float | None
) -> Tensor:
    """What diffusers' training script computes, from diffusers' components alone. With a `weight` the
    second half of the batch is the class."""
    scheduler: Any = DDPMScheduler.from_config(pipeline.scheduler.config)
    latents = pipeline.vae.encode(pixels).latent_dist.mean * pipeline.vae.config.scaling_factor
    tokens = pipeline.tokenizer(prompts, padding="max_length", max_length=20, return_tensors="pt")
    hidden = pipeline.text_encoder(tokens.input_ids)[0]
    predicted = pipeline.unet(scheduler.add_noise(latents, noise, t), t, hidden).sample
    v_model = scheduler.config.prediction_type == "v_prediction"
    target = scheduler.get_velocity(latents, noise, t) if v_model else noise
    if weight is None:
        return F.mse_loss(predicted, target)
    (predicted, predicted_class), (target, target_class) = predicted.chunk(2), target.chunk(2)
    return F.mse_loss(predicted, target) + weight * F.mse_loss(predicted_class, target_class)


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """The noise and times of the last denoising error that DreamBooth asked for."""
    seen: dict[str, Tensor] = {}

    def spy(backbone, clean, condition, noise, t):
        seen.update(noise=noise, t=t)
        return denoising_error(backbone, clean, condition, noise, t)

    monkeypatch.setattr(dreambooth, "denoising_error", spy)
    return seen


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("prior", [0.3, None])
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_loss_and_gradient_equal_diffusers_script(
    prediction_type: str, prior: float | None, size: int, draws: dict[str, Tensor]
) -> None:
    model = tiny_stable_diffusion(prediction_type)
    subject, instance = one_image(model, 1, INSTANCE)
    kind, of_class = one_image(model, 2, CLASS)
    attack = DreamBooth(train_batch_size=size, prior_loss_weight=prior or 0.0)
    trainable = attack.attach(model).trainable
    loss = attack.loss(model, Material(instance, of_class if prior else None), generator(3))

    sets = [(subject, INSTANCE), (kind, CLASS)][: 2 if prior else 1]
    pixels = torch.cat([picture.repeat(size, 1, 1, 1) for picture, _ in sets])
    prompts = [prompt for _, prompt in sets for _ in range(size)]
    expected = scripts_loss(model.pipeline, pixels, prompts, draws["noise"], draws["t"], prior)
    assert_close(loss, expected)
    assert_close(torch.autograd.grad(loss, trainable), torch.autograd.grad(expected, trainable))


def test_noise_and_times_are_independent_for_every_sample(
    tiny: StableDiffusion, draws: dict[str, Tensor]
) -> None:
    _, instance = one_image(tiny, 1, INSTANCE)
    DreamBooth(train_batch_size=3).loss(tiny, Material(instance, instance), generator(0))
    assert draws["noise"].shape == (6, 4, 8, 8)
    assert len({row.sum().item() for row in draws["noise"]}) == 6
    assert len(set(draws["t"].tolist())) == 6


def test_what_is_attached_can_be_ejected() -> None:
    model = tiny_stable_diffusion()
    _, instance = one_image(model, 1, INSTANCE)
    attachment = DreamBooth().attach(model)
    assert {name: id(w) for name, w in attachment.effective.items()} == {
        name: id(w) for name, w in model.network.named_parameters()
    }
    assert [id(w) for w in attachment.trainable] == [id(w) for w in model.network.parameters()]
    DreamBooth().loss(model, Material(instance, None), generator(0)).backward()
    assert all(weight.grad is not None for weight in model.network.parameters())
    attachment.eject()
    assert not any(weight.requires_grad for weight in model.network.parameters())
    assert all(weight.grad is None for weight in model.network.parameters())


@pytest.fixture(scope="module")
def attacked(tiny: StableDiffusion, pattern_set) -> Backbone:
    """The tiny model, attacked hard with pattern 1; pattern 3 is the class."""
    return personalize(tiny, HARD, Material(pattern_set(1, INSTANCE), pattern_set(3, CLASS)), 0)


def test_the_attack_teaches_the_subject(tiny, attacked, pattern_set, mean_error) -> None:
    subject, another = pattern_set(1, INSTANCE), pattern_set(2, INSTANCE)
    gain, gain_of_another = (mean_error(tiny, s) - mean_error(attacked, s) for s in (subject, another))
    assert gain > 0.4 * mean_error(tiny, subject)
    assert gain > 1.2 * gain_of_another


def test_the_prior_keeps_the_class(tiny, attacked, pattern_set, mean_error) -> None:
    of_class = pattern_set(3, CLASS)
    without = personalize(tiny, HARD, Material(pattern_set(1, INSTANCE), None), 0)
    assert mean_error(attacked, of_class) < 0.85 * mean_error(without, of_class)


def test_the_attacked_model_is_left_as_it_was_and_seeds_reproduce(tiny, pattern_set) -> None:
    model = tiny.copy()
    before = copy.deepcopy(model.network.state_dict())
    material = Material(pattern_set(1, INSTANCE), pattern_set(3, CLASS))
    attack = DreamBooth(learning_rate=1e-3, max_train_steps=3)
    first, same, other = (personalize(model, attack, material, seed).weights() for seed in (0, 0, 1))
    assert all(torch.equal(weight, before[name]) for name, weight in model.network.state_dict().items())
    assert all(torch.equal(weight, same[name]) for name, weight in first.items())
    assert not any(torch.equal(weight, other[name]) for name, weight in first.items())
