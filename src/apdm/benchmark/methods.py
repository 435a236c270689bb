"""The methods that a scenario may name, by kind: the tables of the rooms, with settings that fit a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from apdm.backbones.base import Backbone
from apdm.benchmark.reading import refuse_name
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.apdm import PUBLISHED, ProtectionMaterial, protect
from apdm.protectors.ascent import Ascent, ascend
from apdm.toybox import presets
from apdm.types import Pixels
from apdm.watch import Watch

NONE = "none"  # in a scenario: without such a method
PUBLISHED_PRESET = "published"


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
class Protector:
    """One way to protect a model against one subject: a loop, and the settings that it runs with."""

    settings: Any
    loop: Callable[[Backbone, ProtectionMaterial, Any, int, Watch], Backbone]

    def __call__(self, backbone: Backbone, material: ProtectionMaterial, seed: int, watch: Watch) -> Backbone:
        return self.loop(backbone, material, self.settings, seed, watch)

    def using(self, settings: Any) -> Protector:
        return replace(self, settings=settings)


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
    protectors: Mapping[str, Protector]
    personalizers: Mapping[str, Callable[[], Any]]
    presets: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    def settings(self, kind: str, name: str, preset: str, where: str) -> Any:
        """Of the `kind` ("cloak", "purifier", "protector", "personalizer") called `name` in `where`. Raises
        `InputError` for a name or a preset that is not known; the nearest is offered."""
        table: Mapping[str, Any] = getattr(self, f"{kind}s")
        if name not in table:
            refuse_name(name, [*table, NONE], where)
        if preset not in (PUBLISHED_PRESET, *self.presets):
            refuse_name(preset, (PUBLISHED_PRESET, *self.presets), "preset")
        fitting = self.presets.get(preset, {}).get(kind, {})
        if name in fitting:
            return fitting[name]
        return self.protectors[name].settings if kind == "protector" else table[name]()


def _ascent(
    backbone: Backbone, material: ProtectionMaterial, settings: Ascent, seed: int, watch: Watch
) -> Backbone:
    return ascend(backbone, material.attack, settings, seed, watch=watch)


METHODS = Methods(
    cloaks={},
    purifiers={},
    protectors={"apdm": Protector(PUBLISHED, protect), "ascent": Protector(Ascent(), _ascent)},
    personalizers={"dreambooth": DreamBooth},
    presets={
        "toybox": {
            "protector": {
                "apdm": presets.PROTECTION,
                # As many updates as the protection has, at its rate.
                "ascent": Ascent(learning_rate=2e-4, max_steps=300, train_batch_size=4),
            }
        }
    },
)
