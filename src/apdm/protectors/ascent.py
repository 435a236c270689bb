"""Naive ascent: make the subject's denoising error large, keep the class. No look-ahead, no reference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from apdm.backbones.base import Backbone, Condition, draw_noise
from apdm.errors import at_least, positive
from apdm.losses.denoising import denoising_error
from apdm.optimizers import adamw, finite, moments
from apdm.personalizers.base import Material
from apdm.ranks import average
from apdm.seeding import generator
from apdm.steps import PROTECTED, Steps, all_steps
from apdm.types import Scalar
from apdm.watch import Watch, silent


@dataclass(frozen=True)
class Ascent:
    """Settings of naive ascent. The defaults are APDM's of the comparison where it names them."""

    prior_loss_weight: float = 10.0
    """lambda of the class images' loss [APDM eq. 8; 10 and 15 are named]."""
    learning_rate: float = 5e-6
    """Of AdamW, constant [APDM sec. 4.1]."""
    max_train_steps: int = 800
    """Steps, unless `distance` is reached before [APDM's comparison]."""
    train_batch_size: int = 1
    """Subject images, and as many class images, a step [APDM sec. 4.1]."""
    num_class_images: int = 200
    """Class images for the prior [APDM's released code]."""

    def __post_init__(self) -> None:
        positive(self, "learning_rate")
        at_least(self, prior_loss_weight=0, max_train_steps=1, train_batch_size=1, num_class_images=1)


def ascent_loss(model: Backbone, material: Material, config: Ascent, draws: torch.Generator) -> Scalar:
    """L_adv = -l(th; subject) + lambda l(th; class) (APDM eq. 8); raises nothing, clips nothing."""
    sets = [material.instance] if material.prior is None else [material.instance, material.prior]
    size = config.train_batch_size
    clean = torch.cat([s.moments.sample(s.choose(size, draws), draws) for s in sets])
    condition = Condition.cat([s.condition.repeat(size) for s in sets])
    noise, t = draw_noise(clean, draws), model.schedule.sample_times(len(clean), draws)
    errors = denoising_error(model, clean, condition, noise, t)
    kept = config.prior_loss_weight * errors[size:].mean() if material.prior is not None else 0.0
    return kept - errors[:size].mean()


def ascend(
    backbone: Backbone,
    material: Material,
    config: Ascent,
    seed: int,
    distance: float = math.inf,
    watch: Watch = silent,
    steps: Steps = all_steps,
) -> Backbone:
    """A copy of `backbone` after `config.max_train_steps` steps, or as soon as its weights lie `distance`
    (Euclidean, all together) from the input's; the input stays as it is, bit for bit."""
    ascended = backbone.copy()
    weights = ascended.network.requires_grad_(True).parameters()
    optimizer = adamw(weights, config.learning_rate, backbone.execution.use_8bit_adam)
    watch("ascent", 0, config.max_train_steps, {})
    changed = {PROTECTED: ascended.weights(), "optimizer": moments(optimizer)}
    for step in steps(config.max_train_steps, changed):
        loss = ascent_loss(ascended, material, config, generator(seed, "ascent", step))
        value = finite(loss, "the ascent", step + 1)
        loss.backward()
        average(ascended.network.parameters())
        optimizer.step()
        optimizer.zero_grad()
        watch("ascent", step + 1, config.max_train_steps, {"ascent_loss": value})
        if distance < math.inf and moved(backbone, ascended) >= distance:
            break
    ascended.network.requires_grad_(False)
    return ascended


@torch.no_grad()
def moved(before: Backbone, after: Backbone) -> float:
    """How far apart two backbones' weights lie: the Euclidean norm of all differences."""
    old = before.weights()
    squares = [(weight - old[name]).square().sum() for name, weight in after.weights().items()]
    return float(torch.stack(squares).sum().sqrt())
