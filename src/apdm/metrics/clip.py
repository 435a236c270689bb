"""CLIP (Radford et al. 2021): how well pictures fit their prompts, and CLIP's eye as a judge of pictures.

The CLIP score is the mean cosine of picture and prompt, not multiplied by 100 and not cut off at zero;
DreamBooth calls it CLIP-T, and the paper takes it with ViT-L/14. CLIP-I, DreamBooth's other likeness beside
DINO, is `similarity.similarity_score` over a `ClipExtractor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics.base import BATCH, NetworkExtractor, Score
from apdm.metrics.pretrained import complete, local_first, short_name
from apdm.metrics.statistics import mean_score
from apdm.pixels import center_crop, resize, to_unit
from apdm.types import Pixels

PUBLISHED = "openai/clip-vit-large-patch14"  # the paper's (its code; see docs/papers.md)


class ClipExtractor(NetworkExtractor):
    """Pictures and prompts as unit vectors in one space; any CLIP in a folder or on the hub.

    Short side to the network's size (bicubic), centre crop, the mean and deviation of its preprocessor.
    Raises `InputError` if there is no complete CLIP, with tokenizer and preprocessor, to load.
    """

    network: Any  # its configuration's types allow what no CLIP has

    def __init__(self, source: str | Path = PUBLISHED) -> None:
        network, self.tokenizer, processor = local_first(_load, source, "CLIP")
        super().__init__(network, short_name(source), network.config.projection_dim)
        self.side: int = network.config.vision_config.image_size
        self.mean, self.std = processor.image_mean, processor.image_std

    def embed(self, pixels: Pixels) -> Float[Tensor, "b d"]:
        mean, std = (pixels.new_tensor(value)[:, None, None] for value in (self.mean, self.std))
        cropped = center_crop(resize(pixels, self.side), self.side)
        found = self.network.get_image_features(pixel_values=(to_unit(cropped) - mean) / std)
        return normalize(_projected(found), dim=1)

    @torch.no_grad()
    def text(self, prompts: Sequence[str]) -> Float[Tensor, "n d"]:
        """One unit vector each; what goes beyond the text encoder's length (77 tokens) is cut off."""
        length, device = self.network.config.text_config.max_position_embeddings, self.network.device
        parts = []
        for start in range(0, len(prompts), BATCH):
            tokens = self.tokenizer(
                list(prompts[start : start + BATCH]),
                padding=True,
                truncation=True,
                max_length=length,
                return_tensors="pt",
            ).to(device)
            parts.append(normalize(_projected(self.network.get_text_features(**tokens)), dim=1).cpu())
        return torch.cat(parts)


def clip_score(clip: ClipExtractor, images: Pixels, prompts: Sequence[str], *, seed: int) -> Score:
    """Mean cosine of each image and its own prompt, with its interval over the images.

    Raises `InputError` if there are none, or not as many prompts as images.
    """
    return mean_score(
        fits(clip, images, prompts).numpy(),
        seed=seed,
        metric="CLIP score",
        direction=Direction.HIGHER_PRESERVES,
        extractor=clip.name,
        fingerprint=clip.fingerprint,
    )


def fits(clip: ClipExtractor, images: Pixels, prompts: Sequence[str]) -> Float64[Tensor, "n"]:
    """The cosine of each image and its own prompt. Raises as `clip_score`."""
    if len(images) == 0 or len(images) != len(prompts):
        raise InputError(f"{len(images)} images have {len(prompts)} prompts", fix="give one for each image")
    return (clip(images).double() * clip.text(prompts).double()).sum(1)


def _load(source: str, local: bool) -> tuple[Any, Any, Any]:
    network = complete(CLIPModel, source, local, ("clip",), f"give a CLIP, e.g. {PUBLISHED}")
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
    return network, tokenizer, CLIPImageProcessorPil.from_pretrained(source, local_files_only=local)


def _projected(found: Any) -> Float[Tensor, "b d"]:
    """transformers 5 wraps the projected vector up as the pooled output, 4 gave it plain."""
    return getattr(found, "pooler_output", found)
