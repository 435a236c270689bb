"""The Toybox's subjects by the same interface: rendered from their seeds into `root`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from apdm import prompts
from apdm.datasets.base import Dataset, Division, Source
from apdm.errors import InputError, unknown
from apdm.subject import Subject
from apdm.toybox.identity import CLASS_NOUNS
from apdm.toybox.seeds import Purpose
from apdm.toybox.subjects import toy_subject


class Toys(Dataset):
    """A subject is called CLASS-SEED, such as dog-400000. `names` are the first tuning toys, one of each
    class; any other can be asked for. The views in a toy's sets follow from its seed, so there is nothing
    to divide; pictures go to `root`/CLASS-SEED."""

    division = Division.FOURS
    licence = "that of this package"

    def __init__(self, source: Source) -> None:
        self.root = source.root
        self.names = tuple(sorted(f"{noun}-{Purpose.TUNING.first}" for noun in CLASS_NOUNS))

    def class_noun(self, name: str) -> str:
        return self._toy(name)[0]

    def photos(self, name: str) -> tuple[Path, ...]:
        toy = self.subject(name)
        return (*toy.protect, *toy.attack, *toy.held_out)

    def subject(
        self,
        name: str,
        seed: int = 0,
        division: Division | None = None,
        identifier: str = prompts.IDENTIFIER,
    ) -> Subject:
        if division not in (None, Division.FOURS):
            raise InputError(f"{name} has its sets", fix="leave the division out")
        class_noun, number = self._toy(name)
        purpose = next((p for p in Purpose if p.first <= number < p.end), Purpose.TUNING)
        toy = toy_subject(self.root / name, class_noun, number, purpose)
        return replace(toy, identifier=identifier)

    def _toy(self, name: str) -> tuple[str, int]:
        class_noun, _, number = name.partition("-")
        if class_noun not in CLASS_NOUNS or not number.isdecimal():
            raise unknown("toy", name, self.names)
        return class_noun, int(number)
