"""ASPL (Anti-DreamBooth; Van Le et al., ICCV 2023): surrogate and pictures move in turn."""

from __future__ import annotations

from dataclasses import dataclass

from apdm.backbones.base import Backbone
from apdm.cloaks.anti_dreambooth import AntiDreamBooth
from apdm.cloaks.base import CloakMaterial, Round
from apdm.cloaks.budget import Budget
from apdm.cloaks.pgd import Climb, Objective
from apdm.cloaks.surrogate import alternating
from apdm.personalizers.base import Personalizer
from apdm.personalizers.dreambooth import DreamBooth
from apdm.watch import Watch


@dataclass(frozen=True)
class ASPL(AntiDreamBooth):
    """max over pictures of l at a surrogate that learns from them, round by round.

    E-ASPL is the same against several models, each with a surrogate of its own."""

    budget: Budget = Budget(0.05, (-1.0, 1.0))
    """How far from the photo a pixel may end [code: 0.05 of [-1, 1], 6.4 grey levels]."""
    step_size: Budget = Budget(0.005, (-1.0, 1.0))
    """How far a step moves it [code: 0.64 grey levels]."""
    steps: int = 6
    """Steps a round [code]."""
    rounds: int = 50
    """Rounds [code]."""
    surrogate: Personalizer = DreamBooth(learning_rate=5e-7, max_train_steps=3)
    """The attack that the surrogates are trained by; its steps are those of one lesson [code: 3]."""

    def against(
        self, backbone: Backbone, material: CloakMaterial, climb: Climb, seed: int, watch: Watch
    ) -> Round:
        self.check(backbone)

        def objective(model: Backbone) -> Objective:
            return self.objective(model, material)

        return alternating(backbone, self.surrogate, objective, material, climb, seed)
