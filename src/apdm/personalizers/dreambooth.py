"""DreamBooth (Ruiz et al., CVPR 2023): fine-tune the whole network, keep the class."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from apdm.backbones.base import Backbone, Condition, EncodedImages, draw_noise
from apdm.backbones.words import learning_encoders
from apdm.errors import InputError, at_least, positive
from apdm.losses.denoising import denoising_error
from apdm.losses.prior import with_prior
from apdm.personalizers.augmentation import draw_latents
from apdm.personalizers.base import Attachment, Material, Personalizer, nothing, own_text
from apdm.types import Scalar


@dataclass(frozen=True)
class DreamBooth(Personalizer):
    """min over the network of l(subject, "a photo of sks dog") + w l(class, "a photo of dog").

    Without prior preservation give `Material` no prior.
    """

    learning_rate: float = 5e-6
    """Of AdamW, constant [APDM sec. 4.1]."""
    max_train_steps: int = 800
    """Steps of the attack [APDM sec. 4.1]."""
    train_batch_size: int = 1
    """Subject images, and as many class images, a step [APDM sec. 4.1]."""
    prior_loss_weight: float = 1.0
    """Weight of the class images' loss [DreamBooth, diffusers' script]."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this norm; 0 clips nothing [diffusers' script]."""
    train_text_encoder: bool = False
    """Train the text encoders too, at the same rate [off in APDM's attack, on in Anti-DreamBooth's]."""
    random_flip: bool = False
    """Mirror each picture with probability 1/2 [diffusers' LoRA script; off there too]."""
    random_crop: float = 1.0
    """Least share of the side that a random square crop keeps; 1 crops nothing [diffusers' script crops a
    square out of the whole photo; ours are square already]."""

    def __post_init__(self) -> None:
        positive(self, "learning_rate", "random_crop")
        at_least(self, max_train_steps=1, train_batch_size=1, prior_loss_weight=0, max_grad_norm=0)
        if self.random_crop > 1:
            raise InputError(f"random_crop is {self.random_crop}", fix="give at most 1")

    def attach(self, backbone: Backbone, seed: int = 0) -> Attachment:
        backbone.network.requires_grad_(True)
        weights = backbone.weights()
        give_back = own_text(backbone) if self.train_text_encoder else nothing
        encoders = learning_encoders(backbone) if self.train_text_encoder else []
        of_text = [weight for encoder in encoders for weight in encoder.requires_grad_(True).parameters()]

        def eject() -> None:
            backbone.network.requires_grad_(False).zero_grad()
            give_back()

        return Attachment([*weights.values(), *of_text], weights, eject)

    def condition(self, backbone: Backbone, images: EncodedImages) -> Condition:
        return backbone.encode_prompts([images.prompt]) if self.train_text_encoder else images.condition

    def loss(self, backbone: Backbone, material: Material, generator: torch.Generator) -> Scalar:
        """Both means from one pass over the joined batch, noise and times independent per sample."""
        sets = [material.instance] if material.prior is None else [material.instance, material.prior]
        size = self.train_batch_size
        flip, crop = self.random_flip, self.random_crop
        clean = torch.cat([draw_latents(backbone, s, size, generator, flip=flip, crop=crop) for s in sets])
        condition = Condition.cat([self.condition(backbone, s).repeat(size) for s in sets])
        noise = draw_noise(clean, generator)
        t = backbone.schedule.sample_times(len(clean), generator)
        errors = denoising_error(backbone, clean, condition, noise, t)
        if material.prior is None:
            return errors.mean()
        return with_prior(errors[:size], errors[size:], self.prior_loss_weight)
