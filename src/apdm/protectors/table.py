"""Protections by name, all run alike: those of the paper, its ablations, its peers, and the control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from apdm.backbones.base import Backbone
from apdm.backbones.execution import Execution
from apdm.errors import InputError, unknown
from apdm.personalizers.base import Material
from apdm.protectors import apdm, imma, mima
from apdm.protectors.apdm import APDM, PUBLISHED
from apdm.protectors.ascent import Ascent, ascend
from apdm.protectors.imma import IMMA
from apdm.protectors.material import ProtectionMaterial
from apdm.protectors.mima import MIMA
from apdm.steps import Steps, all_steps
from apdm.watch import Watch, silent


class Settings(Protocol):
    """A method's frozen settings, of which who prepares the material must know one."""

    @property
    def num_class_images(self) -> int: ...


@dataclass(frozen=True)
class Nothing:
    """The control has no settings."""

    @property
    def num_class_images(self) -> int:
        return 0


Subjects = Sequence[ProtectionMaterial]
Loop = Callable[[Backbone, Subjects, Any, int, Watch, Steps], Backbone]


@dataclass(frozen=True)
class Protector:
    """One way to protect a model: a loop, and the settings that it runs with."""

    title: str
    """What a model's card calls it."""
    settings: Settings
    loop: Loop
    several: bool = False
    """Whether one model can be protected against several subjects by it."""

    def __call__(
        self,
        backbone: Backbone,
        subjects: Subjects,
        seed: int,
        watch: Watch = silent,
        steps: Steps = all_steps,
    ) -> Backbone:
        """A protected copy of `backbone`, which itself stays as it is, bit for bit."""
        self.check(backbone.execution, len(subjects))
        return self.loop(backbone, subjects, self.settings, seed, watch, steps)

    def check(self, execution: Execution, subjects: int = 1) -> None:
        """Raises `InputError` for an `execution` that is no use to it, or more `subjects` than it takes."""
        if subjects > 1 and not self.several:
            who = ", ".join(name for name, it in PROTECTORS.items() if it.several)
            what = f"{self.title} protects against one subject, and {subjects} are given"
            raise InputError(what, fix=f"give one, or take another --method: {who}")
        in_turn = self.settings.subjects_per_update if isinstance(self.settings, APDM) else 0
        if in_turn > subjects:
            what = f"subjects_per_update is {in_turn}, the number of subjects {subjects}"
            raise InputError(what, fix=f"give {subjects} or fewer")
        looks_ahead = isinstance(self.settings, APDM) and self.settings.inner_steps > 0
        if execution.offload and not looks_ahead:
            raise InputError(f"{self.title} keeps nothing that could be offloaded", fix="leave out --offload")

    def using(self, settings: Settings) -> Protector:
        """The same with other settings. Raises `TypeError` for those of another method."""
        if type(settings) is not type(self.settings):
            raise TypeError(f"{self.title} takes {type(self.settings).__name__}, not {settings}")
        return replace(self, settings=settings)


def _none(
    backbone: Backbone, subjects: Subjects, settings: Nothing, seed: int, watch: Watch, steps: Steps
) -> Backbone:
    return backbone.copy()


def _ascent(
    backbone: Backbone, subjects: Subjects, settings: Ascent, seed: int, watch: Watch, steps: Steps
) -> Backbone:
    (material,) = subjects
    return ascend(backbone, material.attack, settings, seed, watch=watch, steps=steps)


def _imma(
    backbone: Backbone, subjects: Subjects, settings: IMMA, seed: int, watch: Watch, steps: Steps
) -> Backbone:
    (material,) = subjects
    prior = material.prior if settings.num_class_images else None
    return imma.immunize(backbone, Material(material.negatives, prior), settings, seed, watch, steps)


def _mima(
    backbone: Backbone, subjects: Subjects, settings: MIMA, seed: int, watch: Watch, steps: Steps
) -> Backbone:
    """Each subject is a concept."""
    return mima.immunize(backbone, [it.attack for it in subjects], settings, seed, watch, steps)


# "apdm" is APDM with whatever settings are given, here the published ones; "apdm-published" is always those.
PROTECTORS: dict[str, Protector] = {
    "none": Protector("nothing, as a control", Nothing(), _none, several=True),
    "apdm": Protector("APDM (NeurIPS 2025)", PUBLISHED, apdm.protect, several=True),
    "apdm-published": Protector("APDM (NeurIPS 2025) as published", PUBLISHED, apdm.protect, several=True),
    "apdm-unpaired": Protector("APDM, unpaired", APDM(paired=False), apdm.protect, several=True),
    "apdm-without-l2p": Protector("APDM without L2P", APDM(inner_steps=0), apdm.protect, several=True),
    "apdm-leak": Protector("APDM with its released code's leak", APDM(leak=True), apdm.protect, several=True),
    "ascent": Protector("naive ascent (APDM, eq. 8)", Ascent(), _ascent),
    "imma": Protector("IMMA (ECCV 2024)", IMMA(), _imma),
    "mima": Protector("MIMA (AAAI 2025)", MIMA(), _mima, several=True),
}


def protector(name: str) -> Protector:
    """The protection called `name`. Raises `InputError` where there is none."""
    if name not in PROTECTORS:
        raise unknown("protection", name, PROTECTORS)
    return PROTECTORS[name]
