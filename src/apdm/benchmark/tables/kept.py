"""A cell of another kind: a model that nobody attacks, asked what it can still do."""

from __future__ import annotations

from dataclasses import dataclass

from apdm.benchmark.store import plain
from apdm.benchmark.tables.cell import Cell, drawn_by, subject_work
from apdm.benchmark.tables.exam import ASKED, CAPTIONS, OBJECTS, Paper
from apdm.benchmark.tables.outcome import EVALUATION
from apdm.benchmark.tables.subjects import Source
from apdm.benchmark.tables.works import Work, digest
from apdm.prompts import class_prompt


@dataclass(frozen=True)
class Kept:
    """The marks of a model in an exam. `of` is an attack on that model, of which no more than model, sampling
    and seed count here."""

    of: Cell
    paper: Paper

    @property
    def subject(self) -> Source:
        """Who the model is protected for, if it is protected."""
        return self.of.protected_for

    @property
    def name(self) -> str:
        """Such as "apdm dog-450000"."""
        return f"{self.of.protector.name} {self.subject.name}" if self.of.protector else "unprotected"

    @property
    def seed(self) -> int:
        return self.of.setup_seed

    @property
    def model(self) -> object:
        """All that the model depends on."""
        return self.of.protected.about if self.of.protected else self.of.weights

    @property
    def config(self) -> dict[str, object]:
        """All that the cell is, as JSON has it."""
        kept = {name: plain(getattr(self.of, name)) for name in ("model", "weights", "protector", "sampling")}
        who = self.subject.name if self.of.protector else None
        return kept | {"protected_for": who, "seed": self.seed, "exam": plain(self.paper.exam)}

    @property
    def digest(self) -> str:
        return digest(EVALUATION, "kept", self.model, self.paper.about, plain(self.of.sampling), self.seed)

    def drawn(self, name: str) -> Work:
        """The pictures of the paper's set called `name`; sets with the same prompts are one."""
        about = {
            "model": self.model,
            "prompts": digest(self.paper.prompts(name)),
            "sampling": drawn_by(self.of.sampling),
            "seed": self.seed,
        }
        return Work("pictures", name, about)

    @property
    def references(self) -> Work:
        """Features of what FID and KID compare with."""
        about = {
            "of": self.paper.referred,
            "judge": self.paper.weights["distance"],
            "side of": self.of.weights,
        }
        return Work("references", "", about)

    @property
    def works(self) -> tuple[Work, ...]:
        """All that it needs, each once, what others need first."""
        asked: list[Work] = []
        if self.of.protected:
            prior = self.of.drawn(None, class_prompt(self.subject.class_noun))
            asked += [subject_work(self.subject), prior, self.of.protected]
        asked += [self.references, *(self.drawn(name) for name in (ASKED, OBJECTS, CAPTIONS))]
        return tuple({work.digest: work for work in asked}.values())


AnyCell = Cell | Kept
