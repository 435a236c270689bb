"""Mist (Liang & Wu 2023): pull a picture's latents to those of another, and raise its error as well."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch

from apdm.backbones.base import Backbone
from apdm.cloaks.base import Cloak, CloakMaterial, Round
from apdm.cloaks.budget import Budget
from apdm.cloaks.objective import drawn_from, sample_error
from apdm.cloaks.pgd import Ball, Climb
from apdm.errors import at_least
from apdm.seeding import derive
from apdm.types import Pixels, Scalar
from apdm.watch import Watch


class Mode(Enum):
    """What Mist makes small; its third mode, l alone, is AdvDM."""

    TEXTURAL = "textural"
    FUSED = "fused"


@dataclass(frozen=True)
class Mist(Cloak):
    """min over pictures of |E(picture) - E(target)|^2 - rate l, the norm a sum over the latents, which
    are the posterior's mean here and scaled as the network sees them.

    A sum grows with the resolution, and a rate for another one than the published 512 pixels means
    another balance."""

    budget: Budget = Budget(16 / 255, (0.0, 1.0))
    """How far from the photo a pixel may end [code: 32/255 of [-1, 1], 16 grey levels]."""
    step_size: Budget = Budget(1 / 255, (0.0, 1.0))
    """How far a step moves it [code: 1 grey level]."""
    steps: int = 100
    """Steps a round [code]."""
    rounds: int = 1
    """Rounds, after each of which the models of an ensemble are averaged [1 as published]."""
    mode: Mode = Mode.FUSED
    """fused, or textural alone [code: fused]."""
    rate: float = 1e4
    """Weight of l in the fused mode [code: 10^(3 + 1)]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, rate=0)

    @property
    def uses_target(self) -> bool:
        return True

    def start(self, ball: Ball, draws: torch.Generator) -> Pixels:
        return ball.anywhere(draws)

    def against(
        self, backbone: Backbone, material: CloakMaterial, climb: Climb, seed: int, watch: Watch
    ) -> Round:
        condition = backbone.encode_prompts([material.instance_prompt]).detach()
        with torch.no_grad():
            target = backbone.encode_images(material.target_picture).mean

        def objective(pictures: Pixels, draws: torch.Generator) -> Scalar:
            moments = backbone.encode_images(pictures)
            distance = (moments.mean - target).square().sum()
            if self.mode is Mode.TEXTURAL:
                return -distance
            error = sample_error(backbone, drawn_from(backbone, moments, draws), condition)
            return self.rate * error.flatten(1).mean(1).sum() - distance

        return lambda pictures, number: climb(pictures, objective, derive(seed, "round", number))
