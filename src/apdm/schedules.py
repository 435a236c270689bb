"""Noise schedules: they own time, and what the network is asked to predict.

A method draws times, adds noise and takes the target here, and so never asks which family of models
it works on. `clean` are scaled latents z0, `noise` is e ~ N(0, I), both [b c h w].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from apdm.errors import InputError
from apdm.types import Latents, Timesteps


class NoiseSchedule(Protocol):
    """What every family's schedule can do."""

    def sample_times(self, count: int, generator: torch.Generator) -> Timesteps:
        """`count` training times, as the network takes them."""
        ...

    def add_noise(self, clean: Latents, noise: Latents, t: Timesteps) -> Latents:
        """z_t, the network's input."""
        ...

    def target(self, clean: Latents, noise: Latents, t: Timesteps) -> Latents:
        """What the network should predict for z_t."""
        ...

    def weight(self, t: Timesteps) -> Float[Tensor, "b 1 1 1"]:
        """The training objective's weight of each sample."""
        ...


@runtime_checkable
class DiscreteSchedule(NoiseSchedule, Protocol):
    """A schedule whose times are the numbers 0 .. steps - 1, each noisier than the one before."""

    @property
    def steps(self) -> int: ...

    def step_back(
        self, noisy: Latents, predicted: Latents, t: Timesteps
    ) -> tuple[Latents, Float[Tensor, "b 1 1 1"]]:
        """Mean and deviation of z_{t-1}, given z_t and what the network predicted there."""
        ...


def discrete(schedule: NoiseSchedule) -> DiscreteSchedule:
    """`schedule`, for a method that speaks of t - 1 or of a window of times. Raises `InputError` where
    times cannot be counted."""
    if not isinstance(schedule, DiscreteSchedule):
        raise InputError(
            "the method counts time in steps, and the model's time is continuous",
            fix="use a model of the Stable Diffusion 1.x or 2.x family, or another method",
        )
    return schedule


@dataclass(frozen=True)
class DDPMSchedule:
    """Discrete variance-preserving diffusion: z_t = sqrt(a_t) z0 + sqrt(1 - a_t) e.

    `kept` holds a_t for t = 0 .. T-1 (diffusers' `alphas_cumprod`). Prediction types are "epsilon"
    (target e; SD 1.x, SD 2.1-base) and "v_prediction" (target sqrt(a_t) e - sqrt(1 - a_t) z0;
    SD 2.1-768, Salimans & Ho 2022). Raises `InputError` for any other.
    """

    kept: Float[Tensor, "T"]
    prediction_type: str = "epsilon"

    def __post_init__(self) -> None:
        if self.prediction_type not in ("epsilon", "v_prediction"):
            raise InputError(
                f"the model's scheduler predicts '{self.prediction_type}'",
                fix="use a model with prediction_type 'epsilon' or 'v_prediction'",
            )

    def sample_times(self, count: int, generator: torch.Generator) -> Timesteps:
        times = torch.randint(len(self.kept), (count,), generator=generator)
        return times.to(self.kept.device)

    def add_noise(self, clean: Latents, noise: Latents, t: Timesteps) -> Latents:
        signal, spread = self._scales(t)
        return signal * clean + spread * noise

    def target(self, clean: Latents, noise: Latents, t: Timesteps) -> Latents:
        if self.prediction_type == "epsilon":
            return noise
        signal, spread = self._scales(t)
        return signal * noise - spread * clean

    def weight(self, t: Timesteps) -> Float[Tensor, "b 1 1 1"]:
        return torch.ones(len(t), 1, 1, 1, device=t.device)

    @property
    def steps(self) -> int:
        return len(self.kept)

    def step_back(
        self, noisy: Latents, predicted: Latents, t: Timesteps
    ) -> tuple[Latents, Float[Tensor, "b 1 1 1"]]:
        """Of the posterior q(z_{t-1} | z_t, z0 as predicted), Ho et al. 2020, eq. 6 and 7; at t = 0 the
        predicted z0, without deviation."""
        kept = self.kept[t].view(-1, 1, 1, 1)
        before = torch.where(t > 0, self.kept[t - 1], 1.0).view(-1, 1, 1, 1)
        share = 1 - kept / before  # beta_t
        mean = before.sqrt() * share * self.clean(noisy, predicted, t)
        mean = (mean + (kept / before).sqrt() * (1 - before) * noisy) / (1 - kept)
        return mean, (share * (1 - before) / (1 - kept)).sqrt()

    def clean(self, noisy: Latents, predicted: Latents, t: Timesteps) -> Latents:
        """The z0 that the network's output at z_t stands for."""
        signal, spread = self._scales(t)
        if self.prediction_type == "epsilon":
            return (noisy - spread * predicted) / signal
        return signal * noisy - spread * predicted

    def _scales(self, t: Timesteps) -> tuple[Float[Tensor, "b 1 1 1"], Float[Tensor, "b 1 1 1"]]:
        kept = self.kept[t].view(-1, 1, 1, 1)
        return kept.sqrt(), (1 - kept).sqrt()


Weighting = Literal["logit_normal", "mode", "uniform", "sigma_sqrt", "cosmap"]
MODE_SCALE = 1.29  # of "mode" [diffusers' SD3 script; Esser et al. 2024, sec. 3.1]


@dataclass(frozen=True)
class FlowSchedule:
    """Rectified flow on a straight path: z_t = (1 - s) z0 + s e, and the network predicts e - z0.

    `sigmas` are the scheduler's own, its shift included, from 1 (noise) downwards; a time is t = T s for
    T of them, as the network takes it. Defaults and formulas as diffusers' SD3 script (Esser et al. 2024,
    sec. 3.1): times logit-normal, by "mode" or uniform, and the latter perhaps weighted s^-2 ("sigma_sqrt")
    or 2 / (pi (1 - 2 s + 2 s^2)) ("cosmap").

    With `precondition` the error is that of the clean latents which the prediction stands for,
    z_t - s prediction: s^2 times the error of the prediction itself, and so a weight here.
    """

    sigmas: Float[Tensor, "T"]
    weighting: Weighting = "logit_normal"
    precondition: bool = True

    def sample_times(self, count: int, generator: torch.Generator) -> Timesteps:
        steps = len(self.sigmas)
        index = (steps * self._density(count, generator)).long().clamp(max=steps - 1)
        return steps * self.sigmas[index.to(self.sigmas.device)]

    def add_noise(self, clean: Latents, noise: Latents, t: Timesteps) -> Latents:
        sigma = self._sigma(t)
        return (1 - sigma) * clean + sigma * noise

    def target(self, clean: Latents, noise: Latents, t: Timesteps) -> Latents:
        return noise - clean

    def weight(self, t: Timesteps) -> Float[Tensor, "b 1 1 1"]:
        sigma = self._sigma(t)
        weight = sigma**2 if self.precondition else torch.ones_like(sigma)
        if self.weighting == "sigma_sqrt":
            return weight / sigma**2
        if self.weighting == "cosmap":
            return weight * 2 / (math.pi * (1 - 2 * sigma + 2 * sigma**2))
        return weight

    def _density(self, count: int, generator: torch.Generator) -> Float[Tensor, "count"]:
        """Draws from [0, 1]; 0 is noise."""
        if self.weighting == "logit_normal":
            return torch.randn(count, generator=generator).sigmoid()
        u = torch.rand(count, generator=generator)
        if self.weighting == "mode":
            return 1 - u - MODE_SCALE * ((math.pi * u / 2).cos().square() - 1 + u)
        return u

    def _sigma(self, t: Timesteps) -> Float[Tensor, "b 1 1 1"]:
        return (t / len(self.sigmas)).view(-1, 1, 1, 1)
