"""The denoising error as a function of pictures: what cloaks climb."""

from __future__ import annotations

from typing import NamedTuple

import torch

from apdm.backbones.base import Backbone, Condition, Moments, draw_noise
from apdm.cloaks.pgd import Objective
from apdm.losses.denoising import denoising_error, prediction_error
from apdm.losses.targeted import targeted_error
from apdm.schedules import discrete
from apdm.types import Errors, Latents, Pixels, Scalar, Timesteps


class Sample(NamedTuple):
    """What a denoising error is taken at: one latent, noise and time for each picture."""

    clean: Latents
    noise: Latents
    t: Timesteps

    def detach(self) -> Sample:
        return Sample(self.clean.detach(), self.noise, self.t)


def sample(
    backbone: Backbone, pictures: Pixels, draws: torch.Generator, t: Timesteps | None = None
) -> Sample:
    """A draw of the autoencoder's posterior, differentiable in `pictures`, with noise and, unless given,
    a time."""
    return drawn_from(backbone, backbone.encode_images(pictures), draws, t)


def drawn_from(
    backbone: Backbone, moments: Moments, draws: torch.Generator, t: Timesteps | None = None
) -> Sample:
    """The same of pictures that have been encoded."""
    clean = moments.sample(torch.arange(len(moments)), draws)
    noise = draw_noise(clean, draws)
    return Sample(clean, noise, backbone.schedule.sample_times(len(clean), draws) if t is None else t)


def sample_error(backbone: Backbone, at: Sample, condition: Condition) -> Errors:
    """The denoising error of each picture, unreduced; `condition` of as many rows, or one for all."""
    rows = condition if len(condition) == len(at.t) else condition.repeat(len(at.t))
    return denoising_error(backbone, at.clean, rows, at.noise, at.t)


def instance_error(backbone: Backbone, prompt: str) -> Objective:
    """l, the mean denoising error of the pictures under `prompt` (AdvDM, FSMG, ASPL)."""
    condition = backbone.encode_prompts([prompt]).detach()

    def objective(pictures: Pixels, draws: torch.Generator) -> Scalar:
        return sample_error(backbone, sample(backbone, pictures, draws), condition).mean()

    return objective


def targeted_objective(backbone: Backbone, prompt: str, target: Pixels) -> Objective:
    """l - |z_{t-1} as predicted - target's z_{t-1}|^2, means of both (T-FSMG, T-ASPL). The target is
    encoded once, to its posterior's mean. Raises `InputError` where time is continuous."""
    schedule = discrete(backbone.schedule)
    condition = backbone.encode_prompts([prompt]).detach()
    with torch.no_grad():
        aim = backbone.encode_images(target).mean

    def objective(pictures: Pixels, draws: torch.Generator) -> Scalar:
        clean, noise, t = sample(backbone, pictures, draws)
        noisy = schedule.add_noise(clean, noise, t)
        predicted = backbone.predict(noisy, t, condition.repeat(len(t)))
        error = prediction_error(schedule, predicted, clean, noise, t)
        return error.mean() - targeted_error(schedule, noisy, predicted, aim, noise, t).mean()

    return objective
