"""AdvDM (Liang et al., ICML 2023): raise the denoising error of a fixed model."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from apdm.backbones.base import Backbone
from apdm.cloaks.base import Cloak, CloakMaterial, Round
from apdm.cloaks.budget import Budget
from apdm.cloaks.objective import instance_error
from apdm.cloaks.pgd import Ball, Climb
from apdm.seeding import derive
from apdm.types import Pixels
from apdm.watch import Watch


@dataclass(frozen=True)
class AdvDM(Cloak):
    """max over pictures of E l(pictures): one draw of latent, noise and time for each picture and step.

    The defaults are those of the semantic mode of Mist's released code, by the same authors; the paper's
    own are not verified."""

    budget: Budget = Budget(16 / 255, (0.0, 1.0))
    """How far from the photo a pixel may end [Mist's code: 32/255 of [-1, 1], 16 grey levels]."""
    step_size: Budget = Budget(1 / 255, (0.0, 1.0))
    """How far a step moves it [Mist's code: 1 grey level]."""
    steps: int = 100
    """Steps a round [Mist's code]."""
    rounds: int = 1
    """Rounds, after each of which the models of an ensemble are averaged [1 as published]."""

    def start(self, ball: Ball, draws: torch.Generator) -> Pixels:
        return ball.anywhere(draws)

    def against(
        self, backbone: Backbone, material: CloakMaterial, climb: Climb, seed: int, watch: Watch
    ) -> Round:
        error = instance_error(backbone, material.instance_prompt)
        return lambda pictures, number: climb(pictures, error, derive(seed, "round", number))
