"""Textual Inversion (Gal et al., ICLR 2023): the model stays as it is, only a new word is learnt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from apdm.backbones.base import Backbone, Condition, EncodedImages, draw_noise
from apdm.backbones.words import learn_word, pairs
from apdm.errors import InputError, at_least, positive
from apdm.losses.denoising import denoising_error
from apdm.personalizers.augmentation import draw_latents
from apdm.personalizers.base import Attachment, Material, Personalizer, named_in, own_text
from apdm.types import Scalar

MOST_VECTORS = 64  # of the 77 tokens that CLIP reads; what is beyond is cut off
WEIGHTS_NAME = "learned_embeds.safetensors"  # diffusers' name


@dataclass(frozen=True)
class TextualInversion(Personalizer):
    """min over the rows of one new word of l(subject, "a photo of <new1> dog"); class images are not used.

    The published form learns a noun from many templates ("a rendering of a <new1>"); here the word stands
    where every other attack's identifier does, before the class noun, and so does no worse.
    """

    learning_rate: float = 2e-3
    """Of AdamW, constant [diffusers' recipe: 5e-4 times the four pictures of a step]."""
    max_train_steps: int = 3000
    """Steps of the attack [diffusers' recipe]."""
    train_batch_size: int = 4
    """Pictures a step [diffusers' recipe: 1, accumulated four times]."""
    max_grad_norm: float = 0.0
    """Gradients are clipped to this norm; 0 clips nothing [diffusers' script]."""
    placeholder_token: str = "<new1>"
    """The new word; prompts must use it as identifier [Custom Diffusion's script]."""
    initializer_token: str = "sks"
    """The word whose first token the rows begin as [our choice: the other attacks' word]."""
    num_vectors: int = 1
    """Tokens that the word stands for [diffusers' script]."""
    random_flip: bool = True
    """Mirror each picture with probability 1/2 [diffusers' script]."""

    uses_class_images = False

    def __post_init__(self) -> None:
        positive(self, "learning_rate")
        at_least(self, max_train_steps=1, train_batch_size=1, num_vectors=1, max_grad_norm=0)
        if self.num_vectors > MOST_VECTORS:
            raise InputError(
                f"num_vectors is {self.num_vectors}",
                fix=f"give {MOST_VECTORS} or fewer: a prompt has 77",
            )

    def attach(self, backbone: Backbone, seed: int = 0) -> Attachment:
        backbone.network.requires_grad_(False)
        give_back = own_text(backbone)
        rows = learn_word(backbone, self.placeholder_token, self.num_vectors, self.initializer_token)
        return Attachment(rows, backbone.weights(), give_back)

    def condition(self, backbone: Backbone, images: EncodedImages) -> Condition:
        return backbone.encode_prompts([images.prompt])

    def loss(self, backbone: Backbone, material: Material, generator: torch.Generator) -> Scalar:
        images, size = material.instance, self.train_batch_size
        named_in(images.prompt, self.placeholder_token)
        clean = draw_latents(backbone, images, size, generator, flip=self.random_flip)
        noise, t = draw_noise(clean, generator), backbone.schedule.sample_times(size, generator)
        condition = self.condition(backbone, images).repeat(size)
        return denoising_error(backbone, clean, condition, noise, t).mean()

    def save(self, backbone: Backbone, folder: Path) -> None:
        """The word alone, for each text encoder as diffusers' `load_textual_inversion` takes it.

        Where an encoder's config calls the end of a text 2, diffusers pools at the largest number, the new
        word's; set its `eos_token_id` to the tokenizer's there to draw what was learnt, as `--adapter` does.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for _, encoder in pairs(backbone):
            embedding = backbone.text[encoder].get_input_embeddings()
            name = WEIGHTS_NAME.replace(".", f"{encoder.removeprefix('text_encoder')}.", 1)
            save_file({self.placeholder_token: embedding.rows.detach()}, folder / name)
