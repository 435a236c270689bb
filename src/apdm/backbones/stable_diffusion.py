"""Stable Diffusion 1.x and 2.x: one text encoder, a UNet, a KL autoencoder, a discrete schedule."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils.state_dict_utils import convert_state_dict_to_diffusers
from jaxtyping import Float
from torch import Tensor

from apdm.backbones.base import Backbone, Condition, Moments, Sampling, batches
from apdm.backbones.words import fold_words
from apdm.schedules import DDPMSchedule
from apdm.types import Latents, Pixels, Timesteps
from apdm.watch import Watch, silent

TEXT = ("tokenizer", "text_encoder")
ENCODE_BATCH = 8  # pictures at a time through the autoencoder; bounds memory


class StableDiffusion(Backbone):
    """Holds a diffusers `StableDiffusionPipeline` and adds nothing to its components."""

    def __init__(self, pipeline: StableDiffusionPipeline, name: str) -> None:
        self.name = name
        self.pipeline = pipeline
        self.network = pipeline.unet.requires_grad_(False).eval()
        pipeline.vae.requires_grad_(False).eval()
        pipeline.text_encoder.requires_grad_(False).eval()
        pipeline.set_progress_bar_config(disable=True)
        settings = pipeline.scheduler.config
        self.schedule = DDPMSchedule(
            pipeline.scheduler.alphas_cumprod.to(self.device),  # pyright: ignore[reportAttributeAccessIssue]
            settings.get("prediction_type", "epsilon"),
        )
        factor = 2 ** (len(pipeline.vae.config["block_out_channels"]) - 1)
        self.resolution = pipeline.unet.config["sample_size"] * factor

    @property
    def text(self) -> Mapping[str, Any]:
        return {name: getattr(self.pipeline, name) for name in TEXT}

    @text.setter
    def text(self, parts: Mapping[str, Any]) -> None:
        self.pipeline.register_modules(**parts)

    def encode_images(self, pixels: Pixels) -> Moments:
        scale = self.pipeline.vae.config["scaling_factor"]
        means, deviations = [], []
        for rows in batches(len(pixels), ENCODE_BATCH):
            posterior: Any = self.pipeline.vae.encode(pixels[rows].to(self.device)).latent_dist
            means.append(posterior.mean * scale)
            deviations.append(posterior.std * scale)
        return Moments(torch.cat(means), torch.cat(deviations))

    def decode_images(self, latents: Latents) -> Pixels:
        vae = self.pipeline.vae
        return vae.decode(latents / vae.config["scaling_factor"]).sample.clamp(-1, 1)

    def encode_prompts(self, prompts: Sequence[str]) -> Condition:
        tokenizer = self.pipeline.tokenizer
        tokens = tokenizer(
            self.pipeline.maybe_convert_prompt(list(prompts), tokenizer),  # learnt words of several tokens
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        # As diffusers' own pipeline and training script: last hidden state, no attention mask.
        return Condition({"text": self.pipeline.text_encoder(tokens.input_ids.to(self.device))[0]})

    @torch.no_grad()
    def word_features(self, prompts: Sequence[str]) -> list[Float[Tensor, "tokens width"]]:
        tokenizer = self.pipeline.tokenizer
        words = tokenizer(list(prompts), truncation=True, max_length=tokenizer.model_max_length).input_ids
        features = self.encode_prompts(prompts).parts["text"]
        return [rows[: len(tokens)] for rows, tokens in zip(features, words, strict=True)]

    def predict(self, noisy: Latents, t: Timesteps, condition: Condition) -> Latents:
        return self.network(noisy, t, encoder_hidden_states=condition.parts["text"]).sample

    @contextmanager
    def features(self) -> Iterator[list[Tensor]]:
        heard: list[Tensor] = []
        blocks: Any = self.network.up_blocks
        hooks = [
            block.register_forward_hook(lambda block, inputs, output: heard.append(output))
            for block in blocks[-1].resnets
        ]
        try:
            yield heard
        finally:
            for hook in hooks:
                hook.remove()

    @torch.no_grad()
    def generate(
        self, prompts: Sequence[str], seeds: Sequence[int], sampling: Sampling, watch: Watch = silent
    ) -> Pixels:
        watch("generate", 0, len(prompts), {})
        pieces = []
        for rows in batches(len(prompts), sampling.sample_batch_size):
            output: Any = self.pipeline(
                prompt=list(prompts[rows]),
                generator=[torch.Generator().manual_seed(seed) for seed in seeds[rows]],
                num_inference_steps=sampling.num_inference_steps,
                guidance_scale=sampling.guidance_scale,
                output_type="latent",
            )
            pieces.append(self.decode_images(output.images).cpu())
            watch("generate", rows.stop, len(prompts), {})
        return torch.cat(pieces)

    def copy(self) -> StableDiffusion:
        parts = dict(self.pipeline.components) | {"unet": copy.deepcopy(self.pipeline.unet)}
        parts["scheduler"] = copy.deepcopy(self.pipeline.scheduler)  # sampling moves its state
        pipeline = StableDiffusionPipeline(**parts, requires_safety_checker=False)
        return StableDiffusion(pipeline, self.name)

    def save(self, folder: Path) -> None:
        fold_words(self)
        self.pipeline.save_pretrained(folder)
        drop_origin(folder)

    def save_adapters(self, folder: Path) -> None:
        self.pipeline.save_lora_weights(
            folder,
            unet_lora_layers=adapters(self.network),
            text_encoder_lora_layers=adapters(self.pipeline.text_encoder),
            unet_lora_adapter_metadata=adapter_settings(self.network),
            text_encoder_lora_adapter_metadata=adapter_settings(self.pipeline.text_encoder),
        )


def adapters(module: Any) -> dict[str, Any]:
    """PEFT's weights in `module` under diffusers' names; empty where there are none."""
    if not getattr(module, "peft_config", None):
        return {}
    from peft import get_peft_model_state_dict

    return convert_state_dict_to_diffusers(get_peft_model_state_dict(module))


def adapter_settings(module: Any) -> dict[str, Any] | None:
    """Rank, alpha and the rest, without which a reader takes alpha for the rank."""
    configs = getattr(module, "peft_config", None)
    return configs["default"].to_dict() if configs else None


def drop_origin(folder: Path) -> None:
    """Removes the directory that a pipeline was loaded from, which diffusers writes into its configs:
    what is published should not tell where its maker keeps things."""
    for config in (folder / "model_index.json", *folder.glob("*/config.json")):
        settings = json.loads(config.read_text())
        if settings.pop("_name_or_path", None) is not None:
            config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
