"""Stable Diffusion 1.x and 2.x: one text encoder, a UNet, a KL autoencoder, a discrete schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from apdm.backbones.base import Condition
from apdm.backbones.pipeline import PipelineBackbone
from apdm.errors import InputError
from apdm.schedules import DDPMSchedule, NoiseSchedule
from apdm.types import Latents, Timesteps


class StableDiffusion(PipelineBackbone):
    """Over diffusers' `StableDiffusionPipeline`."""

    place = "unet"
    spoken = ("tokenizer", "text_encoder")

    def schedule_of(self, scheduler: Any) -> NoiseSchedule:
        """Raises `InputError` for a model of other noise, such as EDM's, whose network takes other inputs."""
        if getattr(scheduler, "alphas_cumprod", None) is None:
            what = f"'{self.name}' has the scheduler {type(scheduler).__name__}, of no discrete diffusion"
            raise InputError(what, fix="give a model with a DDPM, DDIM or PNDM scheduler")
        kept = scheduler.alphas_cumprod.to(self.device)
        return DDPMSchedule(kept, scheduler.config.get("prediction_type", "epsilon"))

    def encode_prompts(self, prompts: Sequence[str]) -> Condition:
        # As diffusers' own pipeline and training script: last hidden state, no attention mask.
        tokens = self.tokens(prompts, self.pipeline.tokenizer)
        return Condition({"text": self.pipeline.text_encoder(tokens)[0]})

    @torch.no_grad()
    def word_features(self, prompts: Sequence[str]) -> list[Float[Tensor, "tokens width"]]:
        tokenizer = self.pipeline.tokenizer
        words = tokenizer(list(prompts), truncation=True, max_length=tokenizer.model_max_length).input_ids
        features = self.encode_prompts(prompts).parts["text"]
        return [rows[: len(tokens)] for rows, tokens in zip(features, words, strict=True)]

    def output(self, network: Any, noisy: Latents, t: Timesteps, condition: Condition) -> Latents:
        return network(noisy, t, encoder_hidden_states=condition.parts["text"]).sample
