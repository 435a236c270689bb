"""Distillation: a model should still predict what another one does (Hinton et al. 2015)."""

from __future__ import annotations

from functools import partial

import torch

from apdm.backbones.base import Backbone, Condition
from apdm.ranks import shared
from apdm.types import Errors, Latents, Timesteps


def distillation_error(
    model: Backbone, teacher: Backbone, clean: Latents, condition: Condition, noise: Latents, t: Timesteps
) -> Errors:
    """Squared difference of the two predictions at (z_t, t, condition), weighted as the schedule says.

    Arguments and result as in `denoising_error`; no gradient reaches `teacher`. Unlike the denoising
    error it is zero, and so is its gradient, where nothing has changed: it holds a model in place
    without the noise of the drawn targets.
    """
    return shared(partial(_error, model, teacher), clean, condition, noise, t)


def _error(
    model: Backbone, teacher: Backbone, clean: Latents, condition: Condition, noise: Latents, t: Timesteps
) -> Errors:
    noisy = model.schedule.add_noise(clean, noise, t)
    with torch.no_grad():
        wanted = teacher.predict(noisy, t, condition)
    return model.schedule.weight(t) * (model.predict(noisy, t, condition) - wanted).square()
