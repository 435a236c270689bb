"""How far one denoising step lands from a target picture's own noised latents (Anti-DreamBooth)."""

from __future__ import annotations

from apdm.schedules import DiscreteSchedule
from apdm.types import Errors, Latents, Timesteps


def targeted_error(
    schedule: DiscreteSchedule,
    noisy: Latents,
    predicted: Latents,
    target: Latents,
    noise: Latents,
    t: Timesteps,
) -> Errors:
    """|z_{t-1} as predicted from z_t - target's z_{t-1} with the same noise|^2, unreduced [b c h w].

    The step is the posterior's mean; the released code adds fresh noise to it. At t = 0 the target is
    noised as at time 0, where released code takes the last time's noise for t - 1 = -1.
    """
    back, _ = schedule.step_back(noisy, predicted, t)
    return (back - schedule.add_noise(target, noise, (t - 1).clamp(min=0))).square()
