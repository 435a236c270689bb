"""Noise schedules: they own time, and what the network is asked to predict.

A method draws times, adds noise and takes the target here, and so never asks which family of models
it works on. `clean` are scaled latents z0, `noise` is e ~ N(0, I), both [b c h w].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

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
