"""FSMG (Anti-DreamBooth; Van Le et al., ICCV 2023): raise the error of one surrogate that has learnt the
subject from clean photos, and is not changed any more."""

from __future__ import annotations

from dataclasses import dataclass

from apdm.backbones.base import Backbone
from apdm.cloaks.anti_dreambooth import AntiDreamBooth
from apdm.cloaks.base import CloakMaterial, Round
from apdm.cloaks.budget import Budget
from apdm.cloaks.pgd import Climb
from apdm.personalizers.base import Material, Personalizer, personalize
from apdm.personalizers.dreambooth import DreamBooth
from apdm.seeding import derive
from apdm.watch import Watch, titled


@dataclass(frozen=True)
class FSMG(AntiDreamBooth):
    """max over pictures of l at fixed weights, which `surrogate` has learnt from the clean photos.

    E-FSMG is the same against several models, published with 60 rounds of 12 steps."""

    budget: Budget = Budget(0.05, (-1.0, 1.0))
    """How far from the photo a pixel may end [code: 0.05 of [-1, 1], 6.4 grey levels]."""
    step_size: Budget = Budget(0.005, (-1.0, 1.0))
    """How far a step moves it [code: 0.64 grey levels]."""
    steps: int = 100
    """Steps a round [code; E-FSMG: 12]."""
    rounds: int = 1
    """Rounds, after each of which the models of an ensemble are averaged [code; E-FSMG: 60]."""
    surrogate: Personalizer = DreamBooth(learning_rate=5e-7, max_train_steps=1000, train_batch_size=2)
    """The attack that the surrogate is trained by [Anti-DreamBooth's]."""

    def against(
        self, backbone: Backbone, material: CloakMaterial, climb: Climb, seed: int, watch: Watch
    ) -> Round:
        self.check(backbone)
        prior = None if material.prior is None else backbone.encode(material.prior, material.class_prompt)
        lesson = Material(backbone.encode(material.clean, material.instance_prompt), prior)
        trained = personalize(backbone, self.surrogate, lesson, seed, titled(watch, "surrogate"))
        objective = self.objective(trained, material)
        return lambda pictures, number: climb(pictures, objective, derive(seed, "round", number))
