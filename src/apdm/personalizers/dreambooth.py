"""DreamBooth (Ruiz et al., CVPR 2023): fine-tune the whole network, keep the class."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from apdm.backbones.base import Backbone, Condition, draw_noise
from apdm.errors import at_least, positive
from apdm.losses.denoising import denoising_error
from apdm.losses.prior import with_prior
from apdm.personalizers.base import Attachment, Material, Personalizer
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
    """Gradients are clipped to this norm [diffusers' script]."""

    def __post_init__(self) -> None:
        positive(self, "learning_rate", "max_grad_norm")
        at_least(self, max_train_steps=1, train_batch_size=1, prior_loss_weight=0)

    def attach(self, backbone: Backbone) -> Attachment:
        backbone.network.requires_grad_(True)
        weights = backbone.weights()

        def eject() -> None:
            backbone.network.requires_grad_(False).zero_grad()

        return Attachment(list(weights.values()), weights, eject)

    def loss(self, backbone: Backbone, material: Material, generator: torch.Generator) -> Scalar:
        """Both means from one pass over the joined batch, noise and times independent per sample."""
        sets = [material.instance] if material.prior is None else [material.instance, material.prior]
        size = self.train_batch_size
        clean = torch.cat([s.moments.sample(s.choose(size, generator), generator) for s in sets])
        condition = Condition.cat([s.condition.repeat(size) for s in sets])
        noise = draw_noise(clean, generator)
        t = backbone.schedule.sample_times(len(clean), generator)
        errors = denoising_error(backbone, clean, condition, noise, t)
        if material.prior is None:
            return errors.mean()
        return with_prior(errors[:size], errors[size:], self.prior_loss_weight)
