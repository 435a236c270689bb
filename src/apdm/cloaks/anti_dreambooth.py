"""What FSMG and ASPL share (Anti-DreamBooth; Van Le et al., ICCV 2023): surrogates and a targeted variant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from apdm.backbones.base import Backbone
from apdm.cloaks.base import Cloak, CloakMaterial
from apdm.cloaks.objective import instance_error, targeted_objective
from apdm.cloaks.pgd import Objective
from apdm.schedules import discrete


@dataclass(frozen=True)
class AntiDreamBooth(Cloak):
    """A cloak that climbs l at a surrogate, or leads to the target picture as well."""

    targeted: bool = False
    """Lead to the target picture as well, T-FSMG and T-ASPL [untargeted is the paper's main form]."""

    learns: ClassVar[bool] = True

    @property
    def uses_target(self) -> bool:
        return self.targeted

    def check(self, backbone: Backbone) -> None:
        """Raises `InputError` where there is no step back to lead, before anything is trained."""
        if self.targeted:
            discrete(backbone.schedule)

    def objective(self, surrogate: Backbone, material: CloakMaterial) -> Objective:
        """What the pictures climb at `surrogate`."""
        if self.targeted:
            return targeted_objective(surrogate, material.instance_prompt, material.target_picture)
        return instance_error(surrogate, material.instance_prompt)
