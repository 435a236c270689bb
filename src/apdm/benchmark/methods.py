"""The methods that a scenario may name, by kind: the tables of the rooms, with settings that fit a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apdm.backbones.base import Backbone
from apdm.benchmark.reading import refuse_name
from apdm.errors import InputError
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.apdm import APDM, PUBLISHED, ProtectionMaterial, protect
from apdm.protectors.ascent import Ascent, ascend
from apdm.toybox import presets
from apdm.types import Pixels
from apdm.watch import Watch

NONE = "none"  # in a scenario: without such a method


@dataclass(frozen=True)
class CloakMaterial:
    """What a cloak works with: the photos to be cloaked, others of the subject that stay clean, the class's
    pictures, and both prompts."""

    pixels: Pixels
    clean: Pixels
    prior: Pixels
    instance_prompt: str
    class_prompt: str


@dataclass(frozen=True)
class Protection:
    """A protector: its settings as published, and what runs with them."""

    settings: Any
    run: Callable[[Backbone, ProtectionMaterial, Any, int, Watch], Backbone]


@dataclass(frozen=True)
class Chosen:
    """A method by name, with its settings."""

    name: str
    settings: Any


@dataclass(frozen=True)
class Methods:
    """Tables of methods. Cloaks, purifiers and personalizers are settings that do it: a cloak is called with
    (backbone, material, seed, watch) and gives photos, a purifier with (photos, seed, backbone, watch).

    `presets`: by preset and kind, settings that fit another kind of model than the published ones.
    """

    cloaks: Mapping[str, Callable[[], Any]]
    purifiers: Mapping[str, Callable[[], Any]]
    protectors: Mapping[str, Protection]
    personalizers: Mapping[str, Callable[[], Any]]
    presets: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    def settings(self, kind: str, name: str, preset: str, where: str) -> Any:
        """Of the `kind` ("cloak", "purifier", "protector", "personalizer") called `name` in `where`. Raises
        `InputError` for a name that is not known; the nearest is offered."""
        table = {
            "cloak": self.cloaks,
            "purifier": self.purifiers,
            "protector": self.protectors,
            "personalizer": self.personalizers,
        }[kind]
        if name not in table:
            refuse_name(name, [*table, NONE], where)
        if preset != "published" and preset not in self.presets:
            raise InputError(f"there is no preset '{preset}'", fix="use published or toybox")
        fitting = self.presets.get(preset, {}).get(kind, {}).get(name)
        if fitting is not None:
            return fitting
        return self.protectors[name].settings if kind == "protector" else table[name]()


def run_apdm(backbone: Backbone, material: ProtectionMaterial, settings: APDM, seed: int, watch: Watch):
    return protect(backbone, material, settings, seed, watch)


def run_ascent(backbone: Backbone, material: ProtectionMaterial, settings: Ascent, seed: int, watch: Watch):
    return ascend(backbone, material.attack, settings, seed, watch=watch)


METHODS = Methods(
    cloaks={},
    purifiers={},
    protectors={"apdm": Protection(PUBLISHED, run_apdm), "ascent": Protection(Ascent(), run_ascent)},
    personalizers={"dreambooth": DreamBooth},
    presets={"toybox": {"protector": {"apdm": presets.PROTECTION}}},
)
