"""Cloaks: pictures in, pictures within a budget out. One method a file, one hook to write."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import torch

from apdm.backbones.base import Backbone
from apdm.cloaks.budget import Budget
from apdm.cloaks.pgd import Ball, Climb
from apdm.cloaks.target import pattern
from apdm.errors import InputError, at_least, positive
from apdm.pixels import quantised
from apdm.seeding import derive, generator
from apdm.types import Pixels
from apdm.watch import Watch, silent

Round = Callable[[Pixels, int], Pixels]  # pictures and the round's number in, moved pictures out


@dataclass(frozen=True)
class CloakMaterial:
    """What a cloak works on, all of one size: `pixels` are cloaked, from `clean` and `prior` surrogates
    learn the subject and its class (Anti-DreamBooth's sets B and A), `target` [1 3 h w] is where targeted
    cloaks lead; a pattern of ours if not given."""

    pixels: Pixels
    clean: Pixels
    prior: Pixels | None
    instance_prompt: str
    class_prompt: str
    target: Pixels | None = None

    def __post_init__(self) -> None:
        given = (self.pixels, self.clean, self.prior, self.target)
        sides = {tuple(pictures.shape[2:]) for pictures in given if pictures is not None}
        if len(sides) > 1:
            raise InputError(f"a cloak's pictures have sides {sorted(sides)}", fix="bring all to one size")

    @property
    def target_picture(self) -> Pixels:
        return pattern(*self.pixels.shape[2:]) if self.target is None else self.target


@dataclass(frozen=True)
class Cloak(ABC):
    """Settings of a cloak, which is called to make it. A subclass writes `against`; the call sees to the
    rest: budget, range, 8 bits, counting, and the ensemble. Where a setting's source is "code", it is the
    method's released one."""

    budget: Budget
    step_size: Budget
    steps: int
    rounds: int

    learns: ClassVar[bool] = False  # whether surrogates are trained, on `clean` and `prior`

    def __post_init__(self) -> None:
        at_least(self, steps=1, rounds=1)
        positive(self.budget, "value")
        positive(self.step_size, "value")

    @abstractmethod
    def against(
        self, backbone: Backbone, material: CloakMaterial, climb: Climb, seed: int, watch: Watch
    ) -> Round:
        """Makes ready for one model. What is returned takes a round's steps by `climb`."""

    def start(self, ball: Ball, draws: torch.Generator) -> Pixels:
        """Where the first round begins: the pictures as they are, unless a method says otherwise."""
        return ball.center

    @property
    def uses_target(self) -> bool:
        """Whether the material's target has a say."""
        return False

    @final
    def __call__(
        self,
        backbones: Backbone | Sequence[Backbone],
        material: CloakMaterial,
        seed: int,
        watch: Watch = silent,
    ) -> Pixels:
        """`material.pixels`, cloaked: 8-bit values in [-1, 1], off by `budget` and half a grey level at
        most; models and material stay as they are, bit for bit.

        Against several models each makes the steps of a round from the same pictures, and the next round
        begins at the mean of what they made, which a ball contains (Anti-DreamBooth's ensembles).
        """
        models = [backbones] if isinstance(backbones, Backbone) else list(backbones)
        ball = Ball(material.pixels, self.budget.in_pixels)
        total = self.rounds * self.steps * len(models)
        climb = Climb(ball, self.step_size.in_pixels, self.steps, total, watch)
        plays = [
            self.against(model, material, climb, derive(seed, "model", number), watch)
            for number, model in enumerate(models)
        ]
        pictures = self.start(ball, generator(seed, "start"))
        for number in range(self.rounds):
            moved = torch.stack([play(pictures, number) for play in plays])
            pictures = ball.project(moved.mean(0))
        return quantised(pictures)
