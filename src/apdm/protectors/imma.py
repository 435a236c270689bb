"""IMMA (Zheng & Yeh, ECCV 2024): attention weights from which one adaptation method learns badly."""

from __future__ import annotations

from dataclasses import dataclass, field

from apdm.backbones.base import Backbone
from apdm.errors import at_least, positive
from apdm.optimizers import adamw, clip, finite, moments
from apdm.personalizers.base import Material, Personalizer
from apdm.personalizers.dreambooth import DreamBooth
from apdm.ranks import average
from apdm.seeding import derive, generator
from apdm.steps import PROTECTED, Steps, all_steps
from apdm.watch import Watch, silent


@dataclass(frozen=True)
class IMMA:
    """Settings of IMMA. The defaults are those of its DreamBooth script."""

    learning_rate: float = 2e-5
    """Of the ascent's AdamW, constant [IMMA's DreamBooth script]."""
    max_train_steps: int = 1000
    """Steps in all: one of the adaptation, one of the ascent, in turns [IMMA's DreamBooth script]."""
    max_grad_norm: float = 1.0
    """The ascent's gradients are clipped to this norm; 0 clips nothing [IMMA's DreamBooth script]."""
    num_class_images: int = 0
    """Class images that the adaptation is given; 0 adapts without prior preservation [as published]."""
    simulated: Personalizer = field(default_factory=DreamBooth)
    """The adaptation: any attack there is, with its own learning rate and clipping [IMMA]."""

    def __post_init__(self) -> None:
        positive(self, "learning_rate")
        at_least(self, max_train_steps=1, max_grad_norm=0, num_class_images=0)


def immunize(
    backbone: Backbone,
    material: Material,
    config: IMMA,
    seed: int,
    watch: Watch = silent,
    steps: Steps = all_steps,
) -> Backbone:
    """A copy of `backbone` with other attention projections, the rest and `backbone` itself bit for bit.

    Even steps descend the adaptation's loss over what it trains; odd ones ascend it over every attention
    projection, self- and cross-attention alike. Nothing is put back in between: it is training in turns
    and no look-ahead, and attention keeps what the descents did to it. Raises `InputError` for a network
    without attention.
    """
    model, names = backbone.copy(), list(backbone.group("attention"))
    attachment = config.simulated.attach(model, derive(seed, "simulated"))
    attention = [attachment.effective[name].requires_grad_(True) for name in names]
    in_8_bits = backbone.execution.use_8bit_adam
    adapt = adamw(attachment.trainable, config.simulated.learning_rate, in_8_bits)
    ascend = adamw(attention, config.learning_rate, in_8_bits)
    protected = dict(zip(names, attention, strict=True))
    rest = {name: tensor for name, tensor in attachment.tensors().items() if name not in protected}
    adam = {"adaptation": moments(adapt), "ascent": moments(ascend)}
    watch("imma", 0, config.max_train_steps, {})
    for step in steps(config.max_train_steps, {PROTECTED: protected, "rest": rest, **adam}):
        loss = config.simulated.loss(model, material, generator(seed, "imma", step))
        value = finite(loss, "IMMA", step + 1)
        if step % 2 == 0:
            loss.backward()
            average(attachment.trainable)
            clip(attachment.trainable, config.simulated.max_grad_norm)
            adapt.step()
        else:
            (-loss).backward()
            average(attention)
            clip(attention, config.max_grad_norm)
            ascend.step()
        adapt.zero_grad()
        ascend.zero_grad()
        watch("imma", step + 1, config.max_train_steps, {"personalization_loss": value})
    attachment.eject()
    return backbone.copy_with(protected)
