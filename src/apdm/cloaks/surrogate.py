"""A model that learns while it is deceived: any personalizer, a few steps at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from apdm.backbones.base import Backbone
from apdm.cloaks.base import CloakMaterial, Round
from apdm.cloaks.pgd import Climb, Objective
from apdm.optimizers import adamw, clip, finite
from apdm.personalizers.base import Material, Personalizer
from apdm.seeding import derive, generator
from apdm.types import Pixels


class Surrogate:
    """A copy of `backbone` to which `personalizer` is attached once, for all its lessons."""

    def __init__(self, backbone: Backbone, personalizer: Personalizer, seed: int = 0) -> None:
        self.model, self.personalizer = backbone.copy(), personalizer
        self.attachment = personalizer.attach(self.model, derive(seed, "surrogate"))

    def learn(self, material: Material, seed: int) -> None:
        """The personalizer's `max_train_steps` steps, with a fresh optimizer as published."""
        trainable = self.attachment.trainable
        in_8_bits = self.model.execution.use_8bit_adam
        optimizer = adamw(trainable, self.personalizer.learning_rate, in_8_bits)
        for step in range(self.personalizer.max_train_steps):
            loss = self.personalizer.loss(self.model, material, generator(seed, "surrogate", step))
            finite(loss, "the surrogate", step + 1)
            loss.backward()
            clip(trainable, self.personalizer.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()

    @contextmanager
    def for_a_while(self) -> Iterator[None]:
        """What is learnt inside is forgotten at the end."""
        kept = [parameter.detach().clone() for parameter in self.attachment.trainable]
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, before in zip(self.attachment.trainable, kept, strict=True):
                    parameter.copy_(before)


def alternating(
    backbone: Backbone,
    personalizer: Personalizer,
    objective: Callable[[Backbone], Objective],
    material: CloakMaterial,
    climb: Climb,
    seed: int,
) -> Round:
    """ASPL's round. f' is f after a lesson on the clean photos; the pictures climb `objective` of f';
    then f itself, without that lesson, learns from the pictures as they are now.

    The published code copies the model for f'. Here one model learns, and forgets: equal numbers, and
    only what the personalizer trains is held twice.
    """
    surrogate = Surrogate(backbone, personalizer, seed)
    prior = None if material.prior is None else backbone.encode(material.prior, material.class_prompt)

    def lesson(pictures: Pixels) -> Material:
        return Material(backbone.encode(pictures, material.instance_prompt), prior)

    clean = lesson(material.clean)

    def one_round(pictures: Pixels, number: int) -> Pixels:
        with surrogate.for_a_while():
            surrogate.learn(clean, derive(seed, "clean", number))
            pictures = climb(pictures, objective(surrogate.model), derive(seed, "round", number))
        surrogate.learn(lesson(pictures), derive(seed, "cloaked", number))
        return pictures

    return one_round
