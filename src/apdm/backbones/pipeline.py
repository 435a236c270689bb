"""What families that diffusers runs as pipelines share: all but what becomes of prompts."""

from __future__ import annotations

import copy
import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers.loaders.textual_inversion import TextualInversionLoaderMixin
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from apdm.backbones.base import Backbone, Condition, Moments, Sampling, batches
from apdm.backbones.execution import Execution
from apdm.backbones.words import folded
from apdm.errors import InputError
from apdm.schedules import NoiseSchedule
from apdm.types import Latents, Pixels, Timesteps
from apdm.watch import Watch, silent

ENCODE_BATCH = 8  # pictures at a time through the autoencoder; bounds memory


class PipelineBackbone(Backbone):
    """Holds a diffusers pipeline and adds nothing to its components."""

    place: ClassVar[str]
    """The network's name in the pipeline."""
    spoken: ClassVar[tuple[str, ...]]
    """The names of tokenizers and text encoders; those that a model does without are None in its pipeline."""

    def __init__(self, pipeline: Any, name: str) -> None:
        self.name, self.pipeline = name, pipeline
        pipeline.set_progress_bar_config(disable=True)
        for part in pipeline.components.values():
            if isinstance(part, nn.Module):
                part.requires_grad_(False).eval()
        self.network = getattr(pipeline, self.place)
        self.schedule = self.schedule_of(pipeline.scheduler)
        self.factor = 2 ** (len(pipeline.vae.config["block_out_channels"]) - 1)  # pixels a latent's side
        self.step = self.factor * self.patch()
        self.resolution = self.native_side()

    @abstractmethod
    def schedule_of(self, scheduler: Any) -> NoiseSchedule:
        """The schedule that the model was trained with, as its sampler's settings tell."""

    def native_side(self) -> int:
        """Pixels a side that the model was made for."""
        return getattr(self.pipeline, self.place).config["sample_size"] * self.factor

    def patch(self) -> int:
        """Latents a side of what the network takes as one."""
        return 1

    @property
    def text(self) -> Mapping[str, Any]:
        parts = {name: getattr(self.pipeline, name) for name in self.spoken}
        return {name: part for name, part in parts.items() if part is not None}

    @text.setter
    def text(self, parts: Mapping[str, Any]) -> None:
        self.pipeline.register_modules(**parts)

    def encode_images(self, pixels: Pixels) -> Moments:
        shift, scale = latent_scale(self.pipeline.vae)
        means, deviations = [], []
        for rows in batches(len(pixels), ENCODE_BATCH):
            posterior: Any = self.pipeline.vae.encode(pixels[rows].to(self.device)).latent_dist
            means.append((posterior.mean - shift) * scale)
            deviations.append(posterior.std * scale)
        return Moments(torch.cat(means), torch.cat(deviations))

    def decode_images(self, latents: Latents) -> Pixels:
        shift, scale = latent_scale(self.pipeline.vae)
        return self.pipeline.vae.decode(latents / scale + shift).sample.clamp(-1, 1)

    @abstractmethod
    def output(self, network: Any, noisy: Latents, t: Timesteps, condition: Condition) -> Latents:
        """What the network gives, called as its family calls it."""

    @cached_property
    def compiled(self) -> Any:
        """The same network and weights; drawing goes on without it, for its batches are others."""
        return torch.compile(self.network, dynamic=False)

    def predict(self, noisy: Latents, t: Timesteps, condition: Condition) -> Latents:
        network = self.network
        if self.execution.compile:
            network = partial(of_any_size, self.compiled, len(noisy))
        with self.execution.autocast(self.device):
            return self.output(network, noisy, t, condition).to(noisy.dtype)

    def run_as(self, execution: Execution) -> None:
        execution.check(self.device)
        super().run_as(execution)
        network: Any = self.network
        if execution.gradient_checkpointing:
            network.enable_gradient_checkpointing()
        elif network.is_gradient_checkpointing:
            network.disable_gradient_checkpointing()

    @contextmanager
    def features(self) -> Iterator[list[Tensor]]:
        blocks: Any = getattr(self.network, "up_blocks", None)
        if blocks is None:
            raise InputError(f"'{self.name}' has no residual up blocks", fix="use a model with a UNet")
        heard: list[Tensor] = []
        hooks = [
            block.register_forward_hook(lambda block, inputs, output: heard.append(output))
            for block in blocks[-1].resnets
        ]
        try:
            yield heard
        finally:
            for hook in hooks:
                hook.remove()

    def tokens(self, prompts: Sequence[str], tokenizer: Any, length: int | None = None) -> Int[Tensor, "b n"]:
        """Numbers of `prompts`, padded and cut to `length` or what the tokenizer says."""
        output = tokenizer(
            spelt(prompts, tokenizer),
            padding="max_length",
            max_length=length or tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        return output.input_ids.to(self.device)

    def asked(self, prompts: Sequence[str]) -> dict[str, Any]:
        """The pipeline's arguments for `prompts`."""
        return {"prompt": list(prompts)}

    def drawn(self, given: Tensor) -> Latents:
        """What the pipeline gives for latents, as latents."""
        return given

    @torch.no_grad()
    def generate(
        self, prompts: Sequence[str], seeds: Sequence[int], sampling: Sampling, watch: Watch = silent
    ) -> Pixels:
        watch("generate", 0, len(prompts), {})
        pieces = []
        for rows in batches(len(prompts), sampling.sample_batch_size):
            output: Any = self.pipeline(
                **self.asked(prompts[rows]),
                generator=[torch.Generator().manual_seed(seed) for seed in seeds[rows]],
                num_inference_steps=sampling.num_inference_steps,
                guidance_scale=sampling.guidance_scale,
                output_type="latent",
            )
            pieces.append(self.decode_images(self.drawn(output.images)).cpu())
            watch("generate", rows.stop, len(prompts), {})
        return torch.cat(pieces)

    def copy(self) -> PipelineBackbone:
        learning = [w for encoder in self.text_encoders() for w in encoder.parameters() if w.requires_grad]
        pipeline = copy.copy(self.pipeline)
        own = {self.place: self.network, "scheduler": self.pipeline.scheduler}  # sampling moves the latter
        pipeline.register_modules(**copy.deepcopy(own))
        copied = type(self)(pipeline, self.name)
        copied.execution = self.execution
        for weight in learning:  # what is shared stays as it is
            weight.requires_grad_(True)
        return copied

    def save(self, folder: Path) -> None:
        whole = copy.copy(self.pipeline)
        whole.register_modules(**folded(self))
        whole.save_pretrained(folder)
        drop_origin(folder)

    def save_adapters(self, folder: Path) -> None:
        """Under PEFT's names, with its settings, without which a reader takes alpha for the rank."""
        from peft import get_peft_model_state_dict  # takes a second to import

        parts = {self.place: self.network, **self.text}
        arguments: dict[str, Any] = {}
        for name, part in parts.items():
            if getattr(part, "peft_config", None):
                arguments[f"{name}_lora_layers"] = get_peft_model_state_dict(part)
                arguments[f"{name}_lora_adapter_metadata"] = part.peft_config["default"].to_dict()
        self.pipeline.save_lora_weights(folder, **arguments)


def of_any_size(compiled: Any, rows: int, *given: Any, **named: Any) -> Any:
    """What `compiled` gives for a batch of so many rows: it is compiled once for batches of any size, if all
    that has a row for each says so."""
    for part in tree_leaves((given, named)):
        if isinstance(part, Tensor) and part.dim() and len(part) == rows:
            torch._dynamo.maybe_mark_dynamic(part, 0)
    return compiled(*given, **named)


def latent_scale(vae: Any) -> tuple[Tensor | float, Tensor | float]:
    """Shift and scale of z = (E(x) - shift) * scale: one number each, or one a channel [1 c 1 1].

    SD 1.x and 2.x have a scale only, SD3 and Flux a shift too; newer autoencoders of SDXL tell mean and
    deviation.
    """
    scale, mean, deviation = (
        vae.config.get(name) for name in ("scaling_factor", "latents_mean", "latents_std")
    )
    if mean is None or deviation is None:
        return vae.config.get("shift_factor") or 0.0, scale
    shift, spread = (torch.tensor(value, device=vae.device).view(1, -1, 1, 1) for value in (mean, deviation))
    return shift, scale / spread


def fresh_sigmas(scheduler: Any) -> Float[Tensor, "T"]:
    """Of a flow, from its settings: the scheduler's own are the sampler's once it has sampled."""
    return type(scheduler).from_config(scheduler.config).sigmas


def penultimate(encoder: Any, tokens: Tensor) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b p"]]:
    """The hidden states before a CLIP text encoder's last layer, and its pooled projection."""
    output = encoder(tokens, output_hidden_states=True)
    return output.hidden_states[-2], output[0]


def spelt(prompts: Sequence[str], tokenizer: Any) -> list[str]:
    """`prompts` with every learnt word of several tokens written out, as diffusers' pipelines do."""
    return TextualInversionLoaderMixin().maybe_convert_prompt(list(prompts), tokenizer)  # pyright: ignore[reportReturnType]


def drop_origin(folder: Path) -> None:
    """Removes the directory that a pipeline was loaded from, which diffusers writes into its configs:
    what is published should not tell where its maker keeps things."""
    for config in (folder / "model_index.json", *folder.glob("*/config.json")):
        settings = json.loads(config.read_text())
        if settings.pop("_name_or_path", None) is not None:
            config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
