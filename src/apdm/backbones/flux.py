"""FLUX.1 (Black Forest Labs 2024): a transformer over picture and text jointly that sees latents in rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from apdm.backbones.base import Condition, Moments
from apdm.backbones.pipeline import PipelineBackbone, fresh_sigmas
from apdm.errors import InputError
from apdm.schedules import FlowSchedule, NoiseSchedule
from apdm.types import Latents, Pixels, Timesteps

T5_TOKENS = 512  # the pipeline's default, so that a model learns under what it is asked with
GUIDANCE = 1.0  # while it learns; what the commands of diffusers' script say, whose default is 3.5
SQUARE = 2  # latents a side of what the network takes as one
TIMES = 1000  # what the network itself multiplies its time with


class Flux(PipelineBackbone):
    """Over diffusers' `FluxPipeline`: CLIP's pooled vector and T5's sequence.

    A network that was distilled from guided predictions (FLUX.1-dev) is told by how much they were guided:
    here it learns at 1, no guidance, as only there its target is the picture's own e - z0.
    """

    place = "transformer"
    spoken = ("tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2")
    guided_rows = 1

    def schedule_of(self, scheduler: Any) -> NoiseSchedule:
        """Uniform times, unweighted: the defaults of diffusers' script. A shift that depends on the picture's
        size (FLUX.1-dev) is the sampler's alone."""
        sigmas = fresh_sigmas(scheduler).to(self.device)
        return FlowSchedule(sigmas, weighting="uniform", precondition=False)

    def native_side(self) -> int:
        """The autoencoder's: the transformer's config has none."""
        return self.pipeline.vae.config["sample_size"]

    def patch(self) -> int:
        return SQUARE

    def encode_images(self, pixels: Pixels) -> Moments:
        """Raises `InputError` for pictures whose latents do not make whole squares."""
        if any(side % self.step for side in pixels.shape[2:]):
            height, width = pixels.shape[2:]
            raise InputError(
                f"pictures of {height} x {width} pixels do not fit '{self.name}'",
                fix=f"give a resolution that is a multiple of {self.step}",
            )
        return super().encode_images(pixels)

    def encode_prompts(self, prompts: Sequence[str]) -> Condition:
        pipeline = self.pipeline
        clip = pipeline.text_encoder(self.tokens(prompts, pipeline.tokenizer))
        t5 = pipeline.text_encoder_2(self.tokens(prompts, pipeline.tokenizer_2, T5_TOKENS))
        return Condition({"text": t5[0], "pooled": clip.pooler_output})

    def output(self, network: Any, noisy: Latents, t: Timesteps, condition: Condition) -> Latents:
        height, width = (side // SQUARE for side in noisy.shape[2:])
        text, told = condition.parts["text"], self.pipeline.transformer.config["guidance_embeds"]
        predicted = network(
            hidden_states=packed(noisy),
            timestep=t / TIMES,
            guidance=noisy.new_full((len(noisy),), GUIDANCE) if told else None,
            encoder_hidden_states=text,
            pooled_projections=condition.parts["pooled"],
            img_ids=places(height, width, noisy.device),
            txt_ids=noisy.new_zeros(text.shape[1], 3),
        ).sample
        return unpacked(predicted, height)

    def asked(self, prompts: Sequence[str]) -> dict[str, Any]:
        """With the size, which the pipeline does not take from the model."""
        return {"prompt": list(prompts), "height": self.resolution, "width": self.resolution}

    def drawn(self, given: Tensor) -> Latents:
        return unpacked(given, self.resolution // self.step)


def packed(latents: Latents) -> Float[Tensor, "b n d"]:
    """Each square of two by two latents as one row, n = h/2 w/2 of them of d = 4 c numbers."""
    return pixel_unshuffle(latents, SQUARE).flatten(2).mT


def unpacked(rows: Float[Tensor, "b n d"], height: int) -> Latents:
    """The latents again, of `height` squares."""
    return pixel_shuffle(rows.mT.unflatten(2, (height, -1)), SQUARE)


def places(height: int, width: int, device: torch.device) -> Float[Tensor, "n 3"]:
    """Where each square stands: 0, row, column. (All words are at 0, 0, 0.)"""
    axes = (torch.arange(float(count), device=device) for count in (1, height, width))
    return torch.cartesian_prod(*axes)
