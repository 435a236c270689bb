"""ASPL (Anti-DreamBooth; Van Le et al., ICCV 2023): surrogate and pictures move in turn."""

from __future__ import annotations

from dataclasses import dataclass

from apdm.backbones.base import Backbone
from apdm.cloaks.base import Cloak, CloakMaterial, Round
from apdm.cloaks.budget import Budget
from apdm.cloaks.objective import subject_objective
from apdm.cloaks.pgd import Climb, Objective
from apdm.cloaks.surrogate import alternating
from apdm.personalizers.base import Personalizer
from apdm.personalizers.dreambooth import DreamBooth
from apdm.schedules import discrete
from apdm.watch import Watch


@dataclass(frozen=True)
class ASPL(Cloak):
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
    targeted: bool = False
    """Lead to the target picture as well, T-ASPL [untargeted is the paper's main form]."""
    surrogate: Personalizer = DreamBooth(learning_rate=5e-7, max_train_steps=3)
    """The attack that the surrogates are trained by; its steps are those of one lesson [code: 3]."""

    learns = True

    @property
    def uses_target(self) -> bool:
        return self.targeted

    def against(
        self, backbone: Backbone, material: CloakMaterial, climb: Climb, seed: int, watch: Watch
    ) -> Round:
        if self.targeted:
            discrete(backbone.schedule)  # refuses before anything is trained

        def objective(model: Backbone) -> Objective:
            prompt, target = material.instance_prompt, material.target_picture
            return subject_objective(model, prompt, target, targeted=self.targeted)

        return alternating(backbone, self.surrogate, objective, material, climb, seed)
