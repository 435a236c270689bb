"""A scenario: what is measured, in a file that is fixed before anything is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from apdm.benchmark.reading import read_as, read_toml
from apdm.errors import InputError, at_least
from apdm.personalizers.dreambooth import DreamBooth

TWIN = "another subject's protection"
PLACEBOS = ("no DPO", TWIN, "published preset", "naive ascent")


@dataclass(frozen=True)
class Scenario:
    """The numbers of docs/evaluation.md, which says what each is for."""

    name: str
    class_nouns: tuple[str, ...]
    subjects: tuple[int, ...]
    """Of each class, counted from the first reported seed."""
    others: tuple[int, ...]
    """Of each class, attacked under the same identifier and never protected."""
    attack: DreamBooth
    strongest: DreamBooth
    """Looked at once, after its own steps."""
    attack_seeds: tuple[int, ...]
    times: tuple[float, ...]
    """Multiples of the attack's steps after which pictures are drawn."""
    class_images: int
    """Drawn by the attacker, with the model that he attacks."""
    images_per_prompt: int
    reference_renders: int
    captioned_images: int
    asked_images: int
    error_scenes: int
    placebos: tuple[str, ...]
    """Names of `PLACEBOS`."""
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(self, images_per_prompt=1, reference_renders=2, captioned_images=2, asked_images=1)
        at_least(self, error_scenes=1, class_images=1)
        for name in ("class_nouns", "subjects", "others", "attack_seeds", "times"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise InputError(f"scenario '{self.name}': {name} is {values}", fix="give some, each once")
        if 1.0 not in self.times or list(self.times) != sorted(self.times) or self.stops[0] < 1:
            raise InputError(
                f"scenario '{self.name}': times are {self.times}", fix="let them rise, 1 among them"
            )
        if TWIN in self.placebos and len(self.subjects) < 2:
            raise InputError(f"placebo '{TWIN}' with one subject", fix="name two or more subjects")
        for unknown in set(self.placebos) - set(PLACEBOS):
            raise InputError(f"there is no placebo '{unknown}'", fix=f"known are {', '.join(PLACEBOS)}")
        if set(self.subjects) & set(self.others):
            raise InputError(f"scenario '{self.name}' has a subject among the others", fix="name each once")

    @property
    def stops(self) -> tuple[int, ...]:
        """The attack's steps at which it is looked at."""
        return tuple(round(multiple * self.attack.max_train_steps) for multiple in self.times)


def read_scenario(path: Path) -> Scenario:
    """Raises `InputError` for a file that cannot be read, an unknown or missing name or a wrong value."""
    return read_as(Scenario, read_toml(path), str(path))
