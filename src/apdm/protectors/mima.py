"""MIMA (AAAI 2025): IMMA for several concepts at once, whose adaptations are merged into one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from apdm.backbones.base import Backbone
from apdm.errors import InputError, at_least, positive
from apdm.optimizers import adamw, finite, moments
from apdm.personalizers.base import Material
from apdm.personalizers.dreambooth import DreamBooth
from apdm.prompts import LIVE_TEMPLATES, OBJECT_TEMPLATES, fill
from apdm.protectors.ascent import Ascent, ascent_loss
from apdm.ranks import average
from apdm.seeding import generator
from apdm.steps import PROTECTED, Steps, all_steps
from apdm.types import Scalar
from apdm.watch import Watch, silent

# Stand for the 200 captions that are published with, as many in number: what the merge should leave alone.
NOUNS = ("person", "dog", "cat", "toy", "car", "house")
CAPTIONS = tuple(
    caption for noun in NOUNS for caption in fill(dict.fromkeys(OBJECT_TEMPLATES + LIVE_TEMPLATES), noun)
)
SAME = 1e-3  # rows nearer than this share of their norm are one word seen twice; our choice
DIRECTLY = "donot_use_mm_for_euclid_dist"  # products of long rows leave no digits for short distances


@dataclass(frozen=True)
class MIMA:
    """Settings of MIMA. The defaults are those of its personalisation script where not said otherwise."""

    learning_rate: float = 2e-5
    """Of the ascent's AdamW, constant [MIMA's personalisation script; 3e-5 for re-learning]."""
    max_train_steps: int = 1000
    """Steps in all: one of the merged adaptations, one of the ascent, in turns [MIMA's script]."""
    prior_loss_weight: float = 1.0
    """Weight of the class images' loss in the ascent [MIMA's script]."""
    num_class_images: int = 200
    """Class images of each concept [MIMA's re-learning script; its personalisation script takes 2]."""
    simulated: DreamBooth = DreamBooth(learning_rate=1e-5)
    """The adaptation of each concept, of which loss, batch and rate are used: full fine-tuning, for keys and
    values are merged [5e-6, doubled with a prior]."""
    ridge: float = 1e-4
    """Added to C^T C, as a share of its mean diagonal [our choice; keeps it invertible]."""

    def __post_init__(self) -> None:
        positive(self, "learning_rate", "ridge")
        at_least(self, max_train_steps=1, prior_loss_weight=0, num_class_images=1)
        if type(self.simulated) is not DreamBooth or self.simulated.train_text_encoder:
            raise InputError(
                "MIMA merges full fine-tunings", fix="simulate DreamBooth without its text encoder"
            )


def immunize(
    backbone: Backbone,
    concepts: Sequence[Material],
    config: MIMA,
    seed: int,
    watch: Watch = silent,
    steps: Steps = all_steps,
) -> Backbone:
    """A copy of `backbone` with another cross-attention, from which every one of `concepts` is learnt badly;
    the rest and `backbone` itself stay bit for bit. A concept's words are those of its pictures' prompt.

    Even steps adapt to each concept by itself and merge (`adapt_merged`); odd ones ascend the concepts' mean
    loss over cross-attention, the class kept. First order, as its code is in effect: no gradient passes
    through the merge. Raises `InputError` when the prompts have more words than features.
    """
    model = backbone.copy()
    keys_values = model.group("cross_kv")
    crossing = model.group("cross_attention")
    model.network.requires_grad_(True)
    others = [weight for name, weight in model.weights().items() if name not in keys_values]
    in_8_bits = backbone.execution.use_8bit_adam
    adapt = adamw(others, config.simulated.learning_rate, in_8_bits)
    ascend = adamw(crossing.values(), config.learning_rate, in_8_bits)
    merge = Merge(backbone, [concept.instance.prompt for concept in concepts], config.ridge)
    rest = {name: weight for name, weight in model.weights().items() if name not in crossing}
    adam = {"adaptation": moments(adapt), "ascent": moments(ascend)}
    watch("mima", 0, config.max_train_steps, {})
    for step in steps(config.max_train_steps, {PROTECTED: crossing, "rest": rest, **adam}):
        draws = [generator(seed, "mima", step, number) for number in range(len(concepts))]
        if step % 2 == 0:
            value = adapt_merged(model, keys_values, concepts, config.simulated, merge, draws)
            finite(torch.tensor(value), "MIMA's adaptation", step + 1)
            average(others)
            adapt.step()
        else:
            loss = merged_ascent_loss(model, concepts, config, draws)
            value = finite(loss, "MIMA's ascent", step + 1)
            loss.backward()
            average(crossing.values())
            ascend.step()
        model.network.zero_grad()
        watch("mima", step + 1, config.max_train_steps, {"loss": value})
    return backbone.copy_with(crossing)


def adapt_merged(
    model: Backbone,
    keys_values: Mapping[str, nn.Parameter],
    concepts: Sequence[Material],
    attack: DreamBooth,
    merge: Merge,
    draws: Sequence[torch.Generator],
) -> float:
    """Puts into `keys_values` the merge of W_n = W - rate * gradient of concept n, and leaves in the other
    weights' `.grad` the mean over the concepts. Returns the mean loss."""
    total = 0.0
    adapted: dict[str, list[Tensor]] = {name: [] for name in keys_values}
    for concept, draw in zip(concepts, draws, strict=True):
        loss = attack.loss(model, concept, draw)
        total += loss.item() / len(concepts)
        (loss / len(concepts)).backward()
        average(keys_values.values())
        for name, weight in keys_values.items():
            assert weight.grad is not None
            adapted[name].append(weight.detach() - attack.learning_rate * len(concepts) * weight.grad)
            weight.grad = None
    with torch.no_grad():
        for name, weight in keys_values.items():
            weight.copy_(merge(weight, adapted[name]))
    return total


def merged_ascent_loss(
    model: Backbone, concepts: Sequence[Material], config: MIMA, draws: Sequence[torch.Generator]
) -> Scalar:
    """mean over n of -l_n + w l_prior, at the merged weights."""
    form = Ascent(config.prior_loss_weight, train_batch_size=config.simulated.train_batch_size)
    losses = [ascent_loss(model, it, form, draw) for it, draw in zip(concepts, draws, strict=True)]
    return torch.stack(losses).mean()


class Merge:
    """Custom Diffusion's constrained least squares (Kumari et al. 2023): the W' that minimises
    |(W' - W) C^T|^2 subject to W' T^T = V.

    Rows of T are the words of the concepts' prompts, each once, V = what the concepts' own matrices make
    of them, and C holds the words of `CAPTIONS`. With D = T (C^T C)^-1 it is
    W' = W + (V - W T^T) (D T^T)^-1 D, of which all but V is known beforehand.

    A word that several concepts share has one row and the mean of their values, as their least squares
    would have it. The start of a prompt is nobody's word: it is in C only.
    """

    def __init__(self, backbone: Backbone, prompts: Sequence[str], ridge: float) -> None:
        self.words = [rows[1:] for rows in backbone.word_features(prompts)]
        kept, self.shares = distinct(torch.cat(self.words))
        self.targets = torch.cat(self.words)[kept]  # T
        if len(self.targets) > self.targets.shape[1]:
            raise InputError(
                f"the concepts' prompts have {len(self.targets)} different words, more than the "
                f"{self.targets.shape[1]} features of one",
                fix="give fewer concepts, or shorter prompts",
            )
        self.solution = solution(self.targets, torch.cat(backbone.word_features(CAPTIONS)), ridge)

    def __call__(
        self, weight: Float[Tensor, "o d"], adapted: Sequence[Float[Tensor, "o d"]]
    ) -> Float[Tensor, "o d"]:
        """W', of W and the W_n in the order of the prompts."""
        made = torch.cat([w @ words.T for w, words in zip(adapted, self.words, strict=True)], dim=1)
        return weight + (made @ self.shares - weight @ self.targets.T) @ self.solution


def solution(
    targets: Float[Tensor, "m d"], captions: Float[Tensor, "n d"], ridge: float
) -> Float[Tensor, "m d"]:
    """(D T^T)^-1 D with D = T (C^T C + ridge)^-1, in double precision."""
    rows, kept = targets.double().cpu(), captions.double().cpu()
    gram = kept.T @ kept
    gram += ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    d = torch.linalg.solve(gram, rows.T).T
    return torch.linalg.solve(d @ rows.T, d).to(targets)


def distinct(rows: Float[Tensor, "n d"]) -> tuple[Int[Tensor, "m"], Float[Tensor, "n m"]]:
    """The first of every set of equal rows, and the matrix that averages columns [... n] over these sets.
    Equal rows would make D T^T singular; computed twice, they may differ in the last bits."""
    apart = torch.cdist(rows, rows, compute_mode=DIRECTLY)
    equal = apart <= SAME * rows.norm(dim=1, keepdim=True)
    first = equal.int().argmax(dim=1)
    kept, of = first.unique(return_inverse=True)
    shares = nn.functional.one_hot(of, len(kept)).to(rows)
    return kept, shares / shares.sum(dim=0)
