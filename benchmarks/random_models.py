"""Models of real families by their configs alone: what memory and speed are measured on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from apdm.backbones.base import Backbone
from apdm.backbones.load import blank
from apdm.backbones.single_file import CONFIGS, LAYOUTS, clip_tokenizer

# UNets of 142, 145 and 248 million weights.
NARROW: dict[str, dict[str, Any]] = {
    "sd1": {"block_out_channels": (128, 256, 512, 512)},
    "sd2": {"block_out_channels": (128, 256, 512, 512), "attention_head_dim": (2, 4, 8, 8)},
    "sdxl": {
        "block_out_channels": (128, 256, 512),
        "attention_head_dim": (2, 4, 8),
        "transformer_layers_per_block": (1, 2, 4),
    },
}


def without_weights(layout: str, folder: Path, **unet: object) -> str:
    """A folder of the family's configs, the UNet's with the changes `unet`; its weights are missing."""
    shutil.copytree(CONFIGS / layout, folder)
    for name, pad in LAYOUTS[layout].pads.items():
        clip_tokenizer(pad).save_pretrained(folder / name)
    for part in ("unet", "vae", *LAYOUTS[layout].texts):
        save_file({"none": torch.zeros(1)}, folder / part / "model.safetensors")
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | unet, indent=1))
    return str(folder)


def narrow(layout: str, folder: Path) -> str:
    """The same for 256 pixels, with a UNet that a machine of 24 GB can protect."""
    return without_weights(layout, folder, sample_size=32, **NARROW[layout])


def sd15(folder: Path) -> str:
    """Stable Diffusion 1.5's configs, whole."""
    return without_weights("sd1", folder)


def random(folder: str, device: str) -> Backbone:
    """A model of the configs in `folder`, its weights as its classes draw them."""
    backbone = blank(folder)
    return type(backbone)(backbone.pipeline.to(device), backbone.name)  # pyright: ignore
