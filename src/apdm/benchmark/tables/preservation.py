"""Whom a protection may harm: the model itself, in an exam, and others who are personalised on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from apdm.benchmark.tables.cell import Cell
from apdm.benchmark.tables.exam import Paper
from apdm.benchmark.tables.kept import Kept
from apdm.benchmark.tables.outcome import ListedModel
from apdm.benchmark.tables.subjects import Source
from apdm.errors import InputError
from apdm.prompts import fill

SAME, OTHER, NEIGHBOUR = "same class", "other class", "neighbour"

Sources = Mapping[str, Sequence[Source]]  # by class noun


@dataclass(frozen=True)
class Model:
    """A row's model for one subject: its exam, and of each sort of others the attacks on it, [who][seed]."""

    kept: Kept
    others: Mapping[str, list[list[Cell]]]

    @property
    def attacks(self) -> list[Cell]:
        return [cell for members in self.others.values() for runs in members for cell in runs]

    def listed(self) -> ListedModel:
        others = {
            sort: tuple(tuple(cell.digest for cell in runs) for runs in members)
            for sort, members in self.others.items()
        }
        return ListedModel(self.kept.digest, others)


@dataclass(frozen=True)
class Preservation:
    """What is asked of every model. `others` are personalised on the models of all `subjects`; `neighbours`
    has for each subject one that is like it."""

    paper: Paper
    subjects: Sources
    others: Sources
    neighbours: Sources

    def __post_init__(self) -> None:
        for noun, some in self.subjects.items():
            if len(self.neighbours.get(noun, ())) != len(some):
                raise InputError(
                    f"exam.neighbours has no {noun} for each of the subjects", fix="name as many"
                )
            if not self.others.get(noun):
                raise InputError(f"exam.others has no {noun}", fix="name one or more")
        protected = [who for some in self.subjects.values() for who in some]
        for who in self.bystanders():
            if who in protected:
                raise InputError(
                    f"'{who.name}' is protected and one of the exam's others", fix="name another"
                )

    def bystanders(self) -> list[Source]:
        return [who for some in (*self.others.values(), *self.neighbours.values()) for who in some]

    def model(self, attacked: Cell, attack: Callable[[Source], Cell]) -> Model:
        """The model that is attacked in the cell; `attack` gives the same row's cell of somebody else."""
        who = attacked.protected_for
        sorts = self.sorts(who) if attacked.protector else {}
        others = {
            sort: [[replace(attack(other), protected_for=who)] for other in some]
            for sort, some in sorts.items()
        }
        return Model(Kept(attacked, self.paper), others)

    def sorts(self, who: Source) -> dict[str, Sequence[Source]]:
        """Who else is personalised on the model that is protected for `who`."""
        noun = who.class_noun
        elsewhere = [other for name, some in self.others.items() if name != noun for other in some]
        near = self.neighbours[noun][self.subjects[noun].index(who)]
        sorts = {SAME: self.others[noun], OTHER: elsewhere, NEIGHBOUR: [near]}
        return {sort: some for sort, some in sorts.items() if some}


def before_attack(cell: Cell) -> Cell:
    """What the unprotected model draws of the attacker's class, "a photo of dog", before any attack: the
    `class` of `statistics.protection_rate`. The prompts have no identifier."""
    return replace(cell.control, personalizer=None, templates=fill(cell.templates, cell.class_noun))
