"""Personalizers: the attackers. Two hooks, so that one step of each can also be simulated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from apdm.backbones.base import Backbone, EncodedImages, Sampling
from apdm.optimizers import adamw, finite
from apdm.seeding import derive, generator
from apdm.types import Pixels, Scalar
from apdm.watch import Watch, silent


@dataclass(frozen=True)
class Attachment:
    """What a personalizer moves in a backbone.

    `effective` maps each protected weight's name to the leaf tensor that stands for it here: for a
    full fine-tuning the weight itself, for LoRA the base matrix that the factors are added to. A
    protector reads its gradients there, whatever the attacker trains. `eject` undoes the attaching.
    """

    trainable: list[nn.Parameter]
    effective: Mapping[str, Tensor]
    eject: Callable[[], None]


@dataclass(frozen=True)
class Material:
    """What an attack learns from: the subject's pictures and, unless it does without, the class's."""

    instance: EncodedImages
    prior: EncodedImages | None


class Personalizer(ABC):
    """One way to teach a model a subject."""

    learning_rate: float
    max_train_steps: int
    max_grad_norm: float

    @abstractmethod
    def attach(self, backbone: Backbone) -> Attachment:
        """Makes `backbone` trainable in this personalizer's way."""

    @abstractmethod
    def loss(self, backbone: Backbone, material: Material, generator: torch.Generator) -> Scalar:
        """The objective on a batch drawn from `material`."""


def course(
    backbone: Backbone,
    personalizer: Personalizer,
    material: Material,
    seed: int,
    stops: Sequence[int],
    watch: Watch = silent,
) -> Iterator[Backbone]:
    """The attack, looked at on its way: a copy of `backbone` after each number of steps in `stops`.

    It is one and the same copy, which learns on when the next one is asked for. The rate is constant,
    so after n steps it is what an attack of n steps makes. `backbone` stays as it is, bit for bit.
    """
    attacked = backbone.copy()
    attachment = personalizer.attach(attacked)
    optimizer = adamw(attachment.trainable, personalizer.learning_rate)
    watch("personalize", 0, max(stops), {})
    for step in range(max(stops)):
        loss = personalizer.loss(attacked, material, generator(seed, "personalize", step))
        value = finite(loss, "the attack", step + 1)
        loss.backward()
        nn.utils.clip_grad_norm_(attachment.trainable, personalizer.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        watch("personalize", step + 1, max(stops), {"loss": value})
        if step + 1 in stops:
            yield attacked
    for parameter in attachment.trainable:
        parameter.requires_grad_(False)


def personalize(
    backbone: Backbone, personalizer: Personalizer, material: Material, seed: int, watch: Watch = silent
) -> Backbone:
    """A copy of `backbone` that has learnt `material`; the input stays as it is, bit for bit."""
    (attacked,) = course(backbone, personalizer, material, seed, [personalizer.max_train_steps], watch)
    return attacked


def class_images(
    backbone: Backbone, prompt: str, count: int, seed: int, sampling: Sampling, watch: Watch = silent
) -> Pixels:
    """`count` pictures of the class, made by `backbone` itself from `prompt`.

    An attacker has only the model he attacks, so his class images come from that one.
    """
    seeds = [derive(seed, "class image", number) for number in range(count)]
    return backbone.generate([prompt] * count, seeds, sampling, watch)
