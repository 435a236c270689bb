"""Custom Diffusion (Kumari et al., CVPR 2023): cross-attention's keys and values, and a new word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, pad

from apdm.backbones.attention import Group
from apdm.backbones.base import Backbone, Condition, EncodedImages, draw_noise
from apdm.backbones.words import learn_word
from apdm.errors import InputError, at_least, positive
from apdm.losses.denoising import denoising_error
from apdm.personalizers.augmentation import chance, cut, draw_latents, random_flip, whole
from apdm.personalizers.base import Attachment, Material, Personalizer, named_in, own_text
from apdm.pixels import resize
from apdm.types import Pixels, Scalar

Moved = Literal["crossattn_kv", "crossattn"]
GROUPS: dict[Moved, Group] = {"crossattn_kv": "cross_kv", "crossattn": "cross_attention"}

SMALL, LARGE = ("a far away ", "a very small "), ("a zoomed in ", "a close up ")  # diffusers' script


@dataclass(frozen=True)
class CustomDiffusion(Personalizer):
    """min over keys and values of cross-attention, and over the rows of a new word, of the masked
    l(subject, "a photo of <new1> dog") + w l(class, "a photo of dog").

    The weights are edited where they are. (Processors with copies of them, as in the released code,
    would leave the protected ones without a gradient.)
    """

    learning_rate: float = 4e-5
    """Of AdamW, constant [released code: 1e-5 times the batch of 2, doubled with class images]."""
    max_train_steps: int = 500
    """Steps of the attack [released code, on one GPU]."""
    train_batch_size: int = 2
    """Subject images, and as many class images, a step [released code]."""
    prior_loss_weight: float = 1.0
    """Weight of the class images' loss [released code]."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this norm; 0 clips nothing [diffusers' script]."""
    freeze_model: Moved = "crossattn_kv"
    """What of cross-attention moves: keys and values, or "crossattn", all of it, advised for faces
    [released code]."""
    placeholder_token: str = "<new1>"
    """The new word; prompts must use it as identifier [released code]."""
    initializer_token: str = "ktn"
    """The word whose first token it begins as [released code]."""
    augment: bool = True
    """Show the subject at random sizes, and say so in the prompt [released code]."""

    def __post_init__(self) -> None:
        positive(self, "learning_rate")
        at_least(self, max_train_steps=1, train_batch_size=1, prior_loss_weight=0, max_grad_norm=0)
        if self.freeze_model not in GROUPS:
            known = " or ".join(get_args(Moved))
            raise InputError(f"freeze_model is '{self.freeze_model}'", fix=f"give {known}")

    def attach(self, backbone: Backbone, seed: int = 0) -> Attachment:
        backbone.network.requires_grad_(False)
        moved = backbone.group(GROUPS[self.freeze_model])
        for weight in moved.values():
            weight.requires_grad_(True)
        give_back = own_text(backbone)
        rows = learn_word(backbone, self.placeholder_token, 1, self.initializer_token)

        def eject() -> None:
            backbone.network.requires_grad_(False).zero_grad()
            give_back()

        return Attachment([*moved.values(), *rows], backbone.weights(), eject)

    def condition(self, backbone: Backbone, images: EncodedImages) -> Condition:
        return backbone.encode_prompts([images.prompt])

    def loss(self, backbone: Backbone, material: Material, generator: torch.Generator) -> Scalar:
        """One pass over subject and class; noise and times independent per sample."""
        size, prior = self.train_batch_size, material.prior
        named_in(material.instance.prompt, self.placeholder_token)
        clean, mask, prompts = self._subject(backbone, material.instance, generator)
        condition = backbone.encode_prompts(prompts)
        if prior is not None:
            clean = torch.cat([clean, draw_latents(backbone, prior, size, generator, flip=self.augment)])
            condition = Condition.cat([condition, self.condition(backbone, prior).repeat(size)])
        noise, t = draw_noise(clean, generator), backbone.schedule.sample_times(len(clean), generator)
        errors = denoising_error(backbone, clean, condition, noise, t)
        subject = (errors[:size].mean(1, keepdim=True) * mask).flatten(1).sum(1) / mask.flatten(1).sum(1)
        return subject.mean() + (self.prior_loss_weight * errors[size:].mean() if prior is not None else 0.0)

    def _subject(
        self, backbone: Backbone, images: EncodedImages, generator: torch.Generator
    ) -> tuple[Tensor, Float[Tensor, "b 1 h w"], list[str]]:
        """Latents of the subject, the share of each that shows a picture, and the prompts."""
        size = self.train_batch_size
        if not self.augment:
            clean = draw_latents(backbone, images, size, generator)
            return clean, torch.ones_like(clean[:, :1]), [images.prompt] * size
        assert images.pixels is not None  # encoded by a backbone
        rows = images.choose(size, generator)
        shown = [
            rescaled(random_flip(picture, generator), generator) for picture in images.pixels[rows].split(1)
        ]
        with torch.no_grad():
            moments = backbone.encode_images(torch.cat([picture for picture, _, _ in shown]))
        clean = moments.sample(torch.arange(size), generator)
        masks = torch.cat([mask for _, mask, _ in shown]).to(clean)
        prompts = [
            f"{said}{images.prompt.removeprefix('a ')}" if said else images.prompt for *_, said in shown
        ]
        return clean, adaptive_avg_pool2d(masks, (clean.shape[2], clean.shape[3])), prompts


def rescaled(picture: Pixels, generator: torch.Generator) -> tuple[Pixels, Float[Tensor, "1 1 s s"], str]:
    """A picture [1 3 s s] at a random size, where it is to be seen, and what the prompt says of it.

    With probability 2/3 between a third of the side and all of it, somewhere on gray; else a cut out of
    1.2 to 1.4 times the side (the released code's numbers, but for its probability of .66).
    """
    side = picture.shape[3]
    if not chance(2 / 3, generator):
        larger = whole(round(1.2 * side), round(1.4 * side), generator)
        said = LARGE[whole(0, 1, generator)]
        return cut(resize(picture, larger), side, generator), torch.ones(1, 1, side, side), said
    smaller = whole(side // 3, side, generator)
    left, top = whole(0, side - smaller, generator), whole(0, side - smaller, generator)
    margins = (left, side - smaller - left, top, side - smaller - top)
    said = SMALL[whole(0, 1, generator)] if smaller < 0.6 * side else ""
    return pad(resize(picture, smaller), margins), pad(torch.ones(1, 1, smaller, smaller), margins), said
