"""The one quantity that every method of this field descends or ascends."""

from __future__ import annotations

from functools import partial

from apdm.backbones.base import Backbone, Condition
from apdm.ranks import shared
from apdm.schedules import NoiseSchedule
from apdm.types import Errors, Latents, Timesteps


def denoising_error(
    backbone: Backbone, clean: Latents, condition: Condition, noise: Latents, t: Timesteps
) -> Errors:
    """Squared error of `backbone`'s prediction at (z_t, t, condition), weighted as the schedule says.

    `clean` and `noise` [b c h w], `t` [b], `condition` of b rows. The result keeps every element
    [b c h w]: APDM compares errors element by element, Custom Diffusion masks them, DreamBooth takes
    their mean; reducing is the caller's affair. Its mean is the simple loss of Ho et al. 2020, eq. 14.
    """
    return shared(partial(_error, backbone), clean, condition, noise, t)


def _error(backbone: Backbone, clean: Latents, condition: Condition, noise: Latents, t: Timesteps) -> Errors:
    predicted = backbone.predict(backbone.schedule.add_noise(clean, noise, t), t, condition)
    return prediction_error(backbone.schedule, predicted, clean, noise, t)


def prediction_error(
    schedule: NoiseSchedule, predicted: Latents, clean: Latents, noise: Latents, t: Timesteps
) -> Errors:
    """The same where the prediction at z_t has been made, unreduced [b c h w]."""
    return schedule.weight(t) * (predicted - schedule.target(clean, noise, t)).square()
