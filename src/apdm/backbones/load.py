"""From a name to a backbone: a diffusers folder, a hub id, or "toybox"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from apdm.assets import TOYBOX_GENERATOR
from apdm.backbones.base import Backbone
from apdm.errors import InputError

# Models that moved on the hub, and one that is gone (it answers 401 since November 2025).
MOVED = {"runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5"}
GONE = {
    "stabilityai/stable-diffusion-2-1-base": "give a local copy's folder",
    "stabilityai/stable-diffusion-2-1": "give a local copy's folder",
}
FAMILIES = ("StableDiffusionPipeline",)
NETWORKS = ("unet", "vae", "text_encoder")
PARTS = (*NETWORKS, "tokenizer", "scheduler")


def locate(model: str) -> str:
    """The folder or hub id that `model` stands for; everything that can be wrong with it is found
    here, before anything heavy is loaded. Raises `InputError`."""
    if model == "toybox":
        return str(TOYBOX_GENERATOR.folder())
    model = MOVED.get(model, model)
    if model in GONE:
        raise InputError(f"model '{model}' is no longer on the hub", fix=GONE[model])
    folder = Path(model)
    if folder.is_dir():
        _check_folder(folder)
    elif folder.exists():
        raise InputError(f"model '{model}' is a file", fix="give a diffusers folder or a hub id")
    elif model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise InputError(f"model folder '{model}' does not exist", fix="give a diffusers folder or a hub id")
    return model


def load(model: str, device: str = "cpu") -> Backbone:
    """Loads `model` in float32 on `device`. Raises `InputError` for what cannot be loaded."""
    place = locate(model)
    from diffusers import StableDiffusionPipeline

    from apdm.backbones.stable_diffusion import StableDiffusion

    _hide_loading_bars()
    _check_device(device)
    try:
        _check_family(model, StableDiffusionPipeline.load_config(place))
        pipeline = StableDiffusionPipeline.from_pretrained(
            place,
            dtype=torch.float32,
            use_safetensors=True,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"model '{model}' could not be loaded ({reason})",
            fix="check the name, log in if the model is gated, or give a local diffusers folder",
        ) from error
    return StableDiffusion(pipeline.to(device), name=model)


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device '{device}' cannot be used here", fix="give cpu, or one that is") from error


def _hide_loading_bars() -> None:
    """Parts from a disk load in a blink; only the hub's downloads deserve a bar."""
    from diffusers.utils import logging as diffusers_logging
    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
    from transformers.utils import logging as transformers_logging

    downloads_shown = not are_progress_bars_disabled()
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()  # and, unasked, the hub's
    if downloads_shown:
        enable_progress_bars()


def _check_family(model: str, index: Any) -> None:
    family = index["_class_name"]
    if family not in FAMILIES:
        raise InputError(f"'{model}' holds a {family}", fix=f"this version handles {', '.join(FAMILIES)}")


def _check_folder(folder: Path) -> None:
    index = folder / "model_index.json"
    if not index.is_file():
        raise InputError(f"'{folder}' has no model_index.json", fix="give a folder saved by diffusers")
    try:
        _check_family(str(folder), json.loads(index.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{index}' is not a diffusers index", fix="save the model again") from error
    for part in PARTS:
        if not any((folder / part).glob("*.*")):
            raise InputError(f"'{folder}' has no {part}", fix="give a complete diffusers folder")
    for part in NETWORKS:
        if not any((folder / part).glob("*.safetensors")):
            raise InputError(
                f"'{folder / part}' has no safetensors weights (pickles are refused)",
                fix="convert it with diffusers' save_pretrained(safe_serialization=True)",
            )
