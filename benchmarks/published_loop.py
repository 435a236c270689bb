"""APDM's protection as its released code does it, written anew from a description: the yardstick for speed.

Algorithm 1's gradient (the leak left out) and the same draws as ours, so that both compute the same numbers;
what is kept of the released code is how it goes about it. Every sample has a pass of its own; the autoencoder
and the text encoder run at every step; an instance batch is encoded and passed through the network for
nothing; each outer step makes a deep copy of the network and a new optimizer. Per inner step and sample: 8
forward and 5 backward passes, 6 encoded pictures, 4 encoded prompts.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from apdm.backbones.base import Backbone, Condition, EncodedImages, draw_noise
from apdm.losses.denoising import denoising_error
from apdm.losses.dpo import direct_protective_loss
from apdm.optimizers import adamw
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.apdm import APDM
from apdm.protectors.material import ProtectionMaterial
from apdm.seeding import derive, generator
from apdm.types import Errors, Latents, Timesteps

Told = Callable[[float, float], None]  # the attack's and the protection's loss of an inner step


def protect_as_published(
    backbone: Backbone, material: ProtectionMaterial, config: APDM, seed: int, told: Told
) -> Backbone:
    """`protectors.apdm.protect`'s numbers for settings with DreamBooth, pairs, and neither anchor nor carried
    attack; `told` hears the losses of each inner step."""
    attack = config.simulated
    assert type(attack) is DreamBooth
    protected = backbone.copy()
    protected.network.requires_grad_(True)
    outer = adamw(protected.network.parameters(), config.learning_rate)
    for step in range(config.outer_steps):
        simulated = protected.copy()  # a deep copy of the network
        simulated.network.requires_grad_(True)
        inner = adamw(simulated.network.parameters(), attack.learning_rate)
        walk = derive(seed, "protect", step)
        for number in range(config.inner_steps):
            inner.zero_grad()
            draws = generator(walk, "attack", number)
            personalization = attack_loss(simulated, material, attack, draws)
            personalization.backward()
            inner.step()
            inner.zero_grad()
            wasted_pass(simulated, material.negatives, attack.train_batch_size)
            draws = generator(walk, "protection", number)
            protection = protection_loss(simulated, backbone, material, config, draws)
            protection.backward()
            for weight, theirs in zip(
                protected.network.parameters(), simulated.network.parameters(), strict=True
            ):
                assert theirs.grad is not None
                weight.grad = theirs.grad.clone() if weight.grad is None else weight.grad + theirs.grad
            told(personalization.item(), protection.item())
        outer.step()
        outer.zero_grad()
    protected.network.requires_grad_(False)
    return protected


def one_by_one(model: Backbone, clean: Latents, condition: Condition, noise: Tensor, t: Timesteps) -> Errors:
    """Each sample's error by a pass of its own."""
    rows = range(len(clean))
    errors = [
        denoising_error(model, clean[i : i + 1], condition, noise[i : i + 1], t[i : i + 1]) for i in rows
    ]
    return torch.cat(errors)


def several(model: Backbone, images: EncodedImages, count: int, draws: torch.Generator) -> Latents:
    return drawn(model, images, images.choose(count, draws), draws)


@torch.no_grad()
def model_moments(model: Backbone, images: EncodedImages, row: int) -> tuple[Tensor, Tensor]:
    """One picture through the autoencoder."""
    assert images.pixels is not None
    moments = model.encode_images(images.pixels[row : row + 1])
    return moments.mean, moments.deviation


def prompt(model: Backbone, images: EncodedImages) -> Condition:
    """The text encoder's pass."""
    with torch.no_grad():
        return model.encode_prompts([images.prompt])


def attack_loss(
    model: Backbone, material: ProtectionMaterial, attack: DreamBooth, draws: torch.Generator
) -> Tensor:
    size, sets = attack.train_batch_size, (material.negatives, material.prior)
    clean = torch.cat([several(model, images, size, draws) for images in sets])
    noise, t = draw_noise(clean, draws), model.schedule.sample_times(2 * size, draws)
    instance, kind = slice(size), slice(size, 2 * size)
    of_subject = one_by_one(
        model, clean[instance], prompt(model, material.negatives), noise[instance], t[instance]
    )
    of_class = one_by_one(model, clean[kind], prompt(model, material.prior), noise[kind], t[kind])
    return of_subject.mean() + attack.prior_loss_weight * of_class.mean()


def wasted_pass(model: Backbone, images: EncodedImages, size: int) -> None:
    """Encoded, passed through the network with its graph, and thrown away; its draws are nobody's."""
    draws = generator(0, "wasted")
    clean = several(model, images, size, draws)
    noise, t = draw_noise(clean, draws), model.schedule.sample_times(size, draws)
    one_by_one(model, clean, images.condition, noise, t)


def protection_loss(
    model: Backbone, reference: Backbone, material: ProtectionMaterial, config: APDM, draws: torch.Generator
) -> Tensor:
    size = config.train_batch_size
    pairs = material.negatives.choose(size, draws)
    positive, negative = (
        drawn(model, images, pairs, draws) for images in (material.positives, material.negatives)
    )
    prior = drawn(model, material.prior, material.prior.choose(size, draws), draws)
    pair_noise, prior_noise = draw_noise(positive, draws), draw_noise(prior, draws)
    pair_times, prior_times = (model.schedule.sample_times(size, draws) for _ in range(2))
    kept = one_by_one(model, prior, prompt(model, material.prior), prior_noise, prior_times)
    instance = prompt(model, material.negatives)
    errors = [one_by_one(model, it, instance, pair_noise, pair_times) for it in (positive, negative)]
    with torch.no_grad():
        before = [one_by_one(reference, it, instance, pair_noise, pair_times) for it in (positive, negative)]
    dpo = direct_protective_loss(
        errors[0],
        before[0],
        errors[1],
        before[1],
        beta=config.beta,
        reduction=config.reduction,
        cap_positives=config.cap_positives,
    )
    return config.dpo_weight * dpo + config.prior_loss_weight * kept.mean()


def drawn(model: Backbone, images: EncodedImages, rows: Tensor, draws: torch.Generator) -> Latents:
    """Given pictures through the autoencoder, one by one."""
    means, deviations = zip(*(model_moments(model, images, row) for row in rows.tolist()), strict=True)
    mean = torch.cat(means)
    return mean + torch.cat(deviations) * draw_noise(mean, draws)
