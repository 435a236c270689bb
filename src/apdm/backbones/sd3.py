"""Stable Diffusion 3 (Esser et al. 2024): a transformer over picture and text jointly, flow matching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from apdm.backbones.base import Condition
from apdm.backbones.pipeline import PipelineBackbone, fresh_sigmas, penultimate, spelt
from apdm.schedules import FlowSchedule, NoiseSchedule
from apdm.types import Latents, Timesteps

T5_TOKENS = 256  # the pipeline's default, so that a model learns under what it is asked with


class StableDiffusion3(PipelineBackbone):
    """Over diffusers' `StableDiffusion3Pipeline`: two CLIP encoders side by side, T5 after them. A model
    without T5 gets zeros in its place, as the pipeline does."""

    place = "transformer"
    spoken = (
        "tokenizer",
        "tokenizer_2",
        "tokenizer_3",
        "text_encoder",
        "text_encoder_2",
        "text_encoder_3",
    )

    def schedule_of(self, scheduler: Any) -> NoiseSchedule:
        return FlowSchedule(fresh_sigmas(scheduler).to(self.device))

    def patch(self) -> int:
        return self.pipeline.transformer.config["patch_size"]

    def encode_prompts(self, prompts: Sequence[str]) -> Condition:
        pipeline = self.pipeline
        first, pooled = penultimate(pipeline.text_encoder, self.tokens(prompts, pipeline.tokenizer))
        second, more = penultimate(pipeline.text_encoder_2, self.tokens(prompts, pipeline.tokenizer_2))
        clip, t5 = torch.cat([first, second], dim=-1), self._t5(prompts)
        text = torch.cat([pad(clip, (0, t5.shape[-1] - clip.shape[-1])), t5], dim=1)
        return Condition({"text": text, "pooled": torch.cat([pooled, more], dim=-1)})

    def output(self, network: Any, noisy: Latents, t: Timesteps, condition: Condition) -> Latents:
        return network(
            hidden_states=noisy,
            timestep=t,
            encoder_hidden_states=condition.parts["text"],
            pooled_projections=condition.parts["pooled"],
        ).sample

    def asked(self, prompts: Sequence[str]) -> dict[str, Any]:
        """Learnt words of several tokens written out; this pipeline does not do so itself."""
        return {"prompt": spelt(prompts, self.pipeline.tokenizer), "prompt_3": list(prompts)}

    def _t5(self, prompts: Sequence[str]) -> Float[Tensor, "b n d"]:
        encoder = self.pipeline.text_encoder_3
        if encoder is None:
            width = self.pipeline.transformer.config["joint_attention_dim"]
            return torch.zeros(len(prompts), T5_TOKENS, width, device=self.device)
        return encoder(self.tokens(prompts, self.pipeline.tokenizer_3, T5_TOKENS))[0]
