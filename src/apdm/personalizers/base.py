"""Personalizers: the attackers. Two hooks, so that one step of each can also be simulated."""

from __future__ import annotations

import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from apdm.backbones.base import Backbone, Condition, EncodedImages, Sampling
from apdm.backbones.words import pairs
from apdm.errors import InputError
from apdm.optimizers import adamw, clip, finite
from apdm.ranks import average, shared
from apdm.seeding import derive, generator
from apdm.types import Pixels, Scalar
from apdm.watch import Watch, silent


def nothing() -> None:
    """Undoes what was not done."""


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

    @property
    def beside(self) -> list[nn.Parameter]:
        """What is trained that is no weight of the network: factors, rows, text encoders."""
        own = {id(weight) for weight in self.effective.values()}
        return [weight for weight in self.trainable if id(weight) not in own]

    def tensors(self) -> dict[str, Tensor]:
        """The network's weights and what is trained beside them, by name."""
        return {**self.effective, **{f"beside.{place}": weight for place, weight in enumerate(self.beside)}}


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
    uses_class_images: ClassVar[bool] = True
    """Whether `Material.prior` has a say."""
    placeholder_token: str | None = None
    """The word that it adds to the model, if it adds one; prompts name the subject by it."""

    @property
    def learns_prompts(self) -> bool:
        """Whether what `condition` makes of a prompt changes from step to step."""
        return self.placeholder_token is not None or getattr(self, "train_text_encoder", False)

    @abstractmethod
    def attach(self, backbone: Backbone, seed: int = 0) -> Attachment:
        """Makes `backbone` trainable in this personalizer's way; `seed`: of weights that begin at random."""

    @abstractmethod
    def loss(self, backbone: Backbone, material: Material, generator: torch.Generator) -> Scalar:
        """The objective on a batch drawn from `material`."""

    def condition(self, backbone: Backbone, images: EncodedImages) -> Condition:
        """The one row that `backbone` sees `images` under: as encoded, unless the text's side is changed."""
        return images.condition

    def save(self, backbone: Backbone, folder: Path) -> None:
        """Writes what `backbone` has learnt in the form that the field shares: a whole model, or less."""
        backbone.save(folder)


def own_text(backbone: Backbone) -> Callable[[], None]:
    """Gives `backbone` the text encoders that learn, and their tokenizers, as its own; the returned call
    gives the shared ones back."""
    shared = {name: backbone.text[name] for pair in pairs(backbone) for name in pair}
    backbone.text = copy.deepcopy(shared)

    def give_back() -> None:
        backbone.text = shared

    return give_back


def says(prompt: str, word: str) -> bool:
    """Whether `word` stands in `prompt` by itself, not inside a longer one; a comma may touch it."""
    return bool(word) and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", prompt) is not None


def named_in(prompt: str, word: str) -> None:
    """Raises `InputError` where the prompt lacks the word that is to be learnt: nothing would be."""
    if not says(prompt, word):
        raise InputError(f"the prompt '{prompt}' lacks the new word '{word}'", fix="name the subject by it")


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
    attachment = personalizer.attach(attacked, seed)
    in_8_bits = backbone.execution.use_8bit_adam
    optimizer = adamw(attachment.trainable, personalizer.learning_rate, in_8_bits)
    watch("personalize", 0, max(stops), {})
    for step in range(max(stops)):
        loss = personalizer.loss(attacked, material, generator(seed, "personalize", step))
        value = finite(loss, "the attack", step + 1)
        loss.backward()
        average(attachment.trainable)
        clip(attachment.trainable, personalizer.max_grad_norm)
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
    return pictures(backbone, [prompt] * count, seeds, sampling, watch)


def pictures(
    backbone: Backbone,
    prompts: Sequence[str],
    seeds: Sequence[int],
    sampling: Sampling,
    watch: Watch = silent,
) -> Pixels:
    """What `backbone` generates, each of several processes its share."""

    def made(prompts: Sequence[str], seeds: Sequence[int]) -> Pixels:
        return backbone.generate(prompts, seeds, sampling, watch)

    return shared(made, prompts, seeds)
