"""Pairs at their noise and times, and a bank of them with what the reference makes of each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from apdm.types import Errors, Latents, Timesteps


@dataclass(frozen=True)
class Noised:
    """What a denoising error is of: latents and noise [n c h w], times [n]."""

    clean: Latents
    noise: Latents
    t: Timesteps

    def __getitem__(self, rows: Tensor | slice) -> Noised:
        return Noised(self.clean[rows], self.noise[rows], self.t[rows])

    @staticmethod
    def cat(several: list[Noised]) -> Noised:
        parts = zip(*((it.clean, it.noise, it.t) for it in several), strict=True)
        return Noised(*(torch.cat(part) for part in parts))


@dataclass(frozen=True)
class ReferenceBank:
    """N pairs, noised once, and the reference's errors at them: N positives, then N negatives, [2N ...].

    Ours: a step draws among them, and the reference has no pass to make.
    """

    pairs: Noised
    errors: Errors

    def choose(self, count: int, draws: torch.Generator) -> tuple[Noised, Errors]:
        """`count` positives, then their negatives, and the reference's errors at both."""
        size = len(self.errors) // 2
        chosen = torch.randint(size, (count,), generator=draws)
        rows = torch.cat([chosen, chosen + size])
        return self.pairs[rows], self.errors[rows]
