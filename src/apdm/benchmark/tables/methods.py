"""The methods that a scenario may name, by kind: the tables of the rooms, with settings that fit a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apdm.benchmark.reading import refuse_name
from apdm.cloaks.table import CLOAKS
from apdm.personalizers.table import PERSONALIZERS
from apdm.protectors.table import PROTECTORS, Protector
from apdm.purify.table import PURIFIERS
from apdm.toybox import presets

NONE = "none"  # in a scenario: without such a method
PUBLISHED_PRESET = "published"


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

    cloaks: Mapping[str, Any]
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


METHODS = Methods(
    cloaks=CLOAKS,
    purifiers=PURIFIERS,
    protectors=PROTECTORS,
    personalizers=PERSONALIZERS,
    presets={"toybox": {"protector": presets.PROTECTIONS, "personalizer": presets.ATTACKS}},
)
