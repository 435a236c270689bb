"""Stable Diffusion XL (Podell et al. 2024): two text encoders, and a UNet that is told the picture's size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from apdm.backbones.base import Condition
from apdm.backbones.pipeline import penultimate
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.types import Latents, Timesteps


class StableDiffusionXL(StableDiffusion):
    """Over diffusers' `StableDiffusionXLPipeline`: both encoders' penultimate hidden states side by side,
    and the second one's pooled projection."""

    spoken = ("tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2")

    def encode_prompts(self, prompts: Sequence[str]) -> Condition:
        pipeline = self.pipeline
        first, _ = penultimate(pipeline.text_encoder, self.tokens(prompts, pipeline.tokenizer))
        second, pooled = penultimate(pipeline.text_encoder_2, self.tokens(prompts, pipeline.tokenizer_2))
        return Condition({"text": torch.cat([first, second], dim=-1), "pooled": pooled})

    def unconditional(self) -> Condition:
        """Zeros, as it learnt to hear no prompt; where its pipeline says otherwise, an empty prompt."""
        empty = super().unconditional()
        if not self.pipeline.config["force_zeros_for_empty_prompt"]:
            return empty
        return Condition({name: torch.zeros_like(part) for name, part in empty.parts.items()})

    def output(self, network: Any, noisy: Latents, t: Timesteps, condition: Condition) -> Latents:
        """Each picture's six time ids say that it is whole and was never of another size: what the pipeline
        tells when asked for one as large. (diffusers' training script tells each photo's own size and crop.)
        """
        height, width = (side * self.factor for side in noisy.shape[2:])
        told = {
            "text_embeds": condition.parts["pooled"],
            "time_ids": noisy.new_tensor([[height, width, 0, 0, height, width]]).expand(len(noisy), -1),
        }
        text = condition.parts["text"]
        return network(noisy, t, encoder_hidden_states=text, added_cond_kwargs=told).sample
