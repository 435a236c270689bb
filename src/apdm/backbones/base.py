"""What a text-to-image model is to all methods: encode, predict, generate, copy, save."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from apdm.backbones.attention import Group, attention_weights
from apdm.backbones.execution import Execution
from apdm.errors import InputError, at_least
from apdm.schedules import NoiseSchedule
from apdm.types import Latents, Pixels, Scalar, Timesteps
from apdm.watch import Watch, silent


@dataclass(frozen=True)
class Condition:
    """What a family's network is conditioned on; opaque to methods. Each part is [b ...]."""

    parts: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.parts.values())))

    def __getitem__(self, rows: slice) -> Condition:
        return Condition({name: part[rows] for name, part in self.parts.items()})

    def repeat(self, count: int) -> Condition:
        """The whole condition `count` times in a row."""
        return Condition(
            {name: part.repeat(count, *[1] * (part.dim() - 1)) for name, part in self.parts.items()}
        )

    def detach(self) -> Condition:
        return Condition({name: part.detach() for name, part in self.parts.items()})

    def map(self, change: Callable[..., Tensor], *others: Condition) -> Condition:
        """Each part after `change`, which is also given the others' parts of the same name."""
        return Condition(
            {name: change(part, *(o.parts[name] for o in others)) for name, part in self.parts.items()}
        )

    def gradient(self, loss: Callable[[Condition], Scalar]) -> Condition:
        """d loss / d condition here, part by part."""
        leaf = self.map(lambda part: part.detach().requires_grad_())
        slopes = torch.autograd.grad(loss(leaf), list(leaf.parts.values()))
        return Condition(dict(zip(leaf.parts, slopes, strict=True)))

    def flat(self) -> Float[Tensor, "b n"]:
        """All numbers of each row."""
        return torch.cat([part.flatten(1) for part in self.parts.values()], dim=1)

    @staticmethod
    def cat(conditions: Sequence[Condition]) -> Condition:
        names = conditions[0].parts
        return Condition({name: torch.cat([c.parts[name] for c in conditions]) for name in names})


@dataclass(frozen=True)
class Moments:
    """The image encoder's posterior N(mean, deviation^2) of scaled latents, [b c h w] each."""

    mean: Latents
    deviation: Latents

    def __len__(self) -> int:
        return len(self.mean)

    def sample(self, index: Tensor, generator: torch.Generator) -> Latents:
        """One draw for each image in `index` [n]."""
        mean = self.mean[index]
        return mean + self.deviation[index] * draw_noise(mean, generator)


@dataclass(frozen=True)
class EncodedImages:
    """Images under one prompt, encoded once, which saves every VAE and text pass of a loop.

    `moments` hold as long as the images stay as they are, `condition` (one row) as long as the text
    encoder does. A personalizer that changes either goes back to `pixels` or to `prompt`.
    """

    moments: Moments
    condition: Condition
    prompt: str = ""
    pixels: Pixels | None = None

    def __len__(self) -> int:
        return len(self.moments)

    def choose(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` indices in random order; none comes twice before all have come."""
        rounds = -(-count // len(self))
        orders = [torch.randperm(len(self), generator=generator) for _ in range(rounds)]
        return torch.cat(orders)[:count]


TRAINED_STEPS = 1000  # noise levels of every known family; a sampler has no more


@dataclass(frozen=True)
class Sampling:
    """How pictures are generated, by the model's own scheduler."""

    num_inference_steps: int = 20
    """Steps of the sampler [APDM's protocol for pictures to be scored; its class images take 50]."""
    guidance_scale: float = 7.5
    """Classifier-free guidance [APDM's protocol]."""
    sample_batch_size: int = 8
    """Pictures at a time; changes memory and speed only [our choice]."""

    def __post_init__(self) -> None:
        at_least(self, num_inference_steps=1, sample_batch_size=1)
        if self.num_inference_steps > TRAINED_STEPS:
            raise InputError(
                f"num_inference_steps is {self.num_inference_steps}", fix=f"give {TRAINED_STEPS} or fewer"
            )
        if not 0 <= self.guidance_scale < math.inf:
            raise InputError(f"guidance_scale is {self.guidance_scale}", fix="give 0 or more")


class Backbone(ABC):
    """One text-to-image model. Its `network` is what gets protected and attacked; the rest is frozen.

    Two backbones made by `copy` share everything but the network's weights. `text` holds the tokenizers
    and text encoders by name; a personalizer that changes them gives its backbone some of its own.
    """

    name: str
    network: nn.Module
    text: Mapping[str, Any]
    schedule: NoiseSchedule
    resolution: int  # pixels a side
    step: int  # pixels that a picture's sides must be a multiple of
    execution: Execution = Execution()
    guided_rows: int = 2  # of a picture drawn with guidance: with the prompt, and without

    @abstractmethod
    def encode_images(self, pixels: Pixels) -> Moments:
        """Posterior moments of the scaled latents; differentiable in the pixels."""

    @abstractmethod
    def decode_images(self, latents: Latents) -> Pixels:
        """The pictures of scaled latents, clamped to [-1, 1]."""

    @abstractmethod
    def encode_prompts(self, prompts: Sequence[str]) -> Condition:
        """One row a prompt; differentiable where the text encoder's weights ask for it."""

    def unconditional(self) -> Condition:
        """One row, of no prompt: what a guided picture is drawn away from."""
        return self.encode_prompts([""])

    @abstractmethod
    def predict(self, noisy: Latents, t: Timesteps, condition: Condition) -> Latents:
        """The network's output in the latents' own precision, to be compared with `schedule.target`."""

    @abstractmethod
    def generate(
        self, prompts: Sequence[str], seeds: Sequence[int], sampling: Sampling, watch: Watch = silent
    ) -> Pixels:
        """One picture for each prompt and seed; a picture depends on its own seed only."""

    def run_as(self, execution: Execution) -> None:
        """From now on `predict` runs as `execution` says, in this backbone and in every copy made later."""
        self.execution = execution

    def features(self) -> AbstractContextManager[list[Tensor]]:
        """While it is open, every `predict` appends the outputs of the network's last residual blocks,
        [b c h w] each, with gradient. Raises `InputError` where the network has none."""
        raise InputError(f"'{self.name}' has no residual up blocks", fix="use a model with a UNet")

    @abstractmethod
    def copy(self) -> Backbone:
        """A backbone with a network of its own."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes the model in its family's standard format."""

    @abstractmethod
    def save_adapters(self, folder: Path) -> None:
        """Writes what PEFT added to network and text encoders as `pytorch_lora_weights.safetensors`."""

    def word_features(self, prompts: Sequence[str]) -> list[Float[Tensor, "tokens width"]]:
        """What cross-attention makes keys and values of: for each prompt a row a token, the start first,
        the end last, padding left out. Without gradient. Raises `InputError` where no family's file says."""
        raise InputError(f"what {self.name} makes of words is not known", fix="take another method")

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def weights(self) -> dict[str, nn.Parameter]:
        """The network's parameters by name; equal names in every copy."""
        return dict(self.network.named_parameters())

    def text_encoders(self) -> list[nn.Module]:
        return [part for part in self.text.values() if isinstance(part, nn.Module)]

    def group(self, name: Group) -> dict[str, nn.Parameter]:
        """The network's weights that play a part in attention. Raises `InputError` where it has none."""
        return attention_weights(self.network, name)

    def load_weights_from(self, other: Backbone) -> None:
        """Copies `other`'s weights into this network's own memory."""
        with torch.no_grad():
            for mine, theirs in zip(self.network.parameters(), other.network.parameters(), strict=True):
                mine.copy_(theirs)

    def copy_with(self, weights: Mapping[str, Tensor]) -> Backbone:
        """A copy with `weights` in place of the network's of these names."""
        changed = self.copy()
        mine = changed.weights()
        with torch.no_grad():
            for name, value in weights.items():
                mine[name].copy_(value)
        return changed

    def encode(self, pixels: Pixels, prompt: str) -> EncodedImages:
        """`pixels` under `prompt`, ready to be drawn from in a training loop."""
        with torch.no_grad():
            moments, condition = self.encode_images(pixels), self.encode_prompts([prompt])
        return EncodedImages(moments, condition.detach(), prompt, pixels)


def draw_noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise of `like`'s shape, drawn on the CPU so that devices agree, then moved."""
    return torch.randn(like.shape, generator=generator).to(like)


def batches(count: int, size: int) -> Iterator[slice]:
    """Slices that cover range(count) in pieces of at most `size`."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
