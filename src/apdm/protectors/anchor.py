"""The anchor (ours): what the protected weights themselves predict for the class stays what it was."""

from __future__ import annotations

import torch

from apdm.backbones.base import Backbone, EncodedImages, draw_noise
from apdm.losses.distillation import distillation_error
from apdm.optimizers import finite
from apdm.protectors.l2p import add_gradients, taken
from apdm.types import Scalar


def anchor_loss(
    protected: Backbone,
    reference: Backbone,
    prior: EncodedImages,
    weight: float,
    size: int,
    draws: torch.Generator,
) -> Scalar:
    """w E ||prediction - reference's prediction||^2 over `size` class images, at the protected weights.

    The published class term is only seen after simulated steps, and an attack with prior preservation
    repairs the class as it goes: what the protected weights themselves have lost goes unnoticed.
    """
    rows = prior.choose(size, draws)
    clean = prior.moments.sample(rows, draws)
    noise = draw_noise(clean, draws)
    t = protected.schedule.sample_times(len(rows), draws)
    condition = prior.condition.repeat(len(rows))
    return weight * distillation_error(protected, reference, clean, condition, noise, t).mean()


def add_anchor(
    protected: Backbone,
    reference: Backbone,
    prior: EncodedImages,
    weight: float,
    size: int,
    draws: torch.Generator,
    step: int,
) -> None:
    """Adds the anchor's gradients to the protected weights'; a copy stands for those that rest elsewhere.
    Raises `Diverged`, which names `step`, from 0, for a loss that is not finite."""
    apart = reference.execution.offload
    model = reference.copy_with(protected.weights()) if apart else protected
    model.network.requires_grad_(True)
    loss = anchor_loss(model, reference, prior, weight, size, draws)
    finite(loss, "the anchor", step + 1)
    loss.backward()
    if apart:
        add_gradients(protected.weights(), taken(model.weights()))
