"""From a name to a backbone: a diffusers folder, a single file, a hub id, or "toybox"."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import nn

from apdm.assets import TOYBOX_GENERATOR
from apdm.backbones.adapters import is_adapter
from apdm.backbones.base import Backbone
from apdm.backbones.hub import current_name, fetch_index
from apdm.backbones.single_file import CONFIGS, as_told, contents, named, read, tokenizers
from apdm.errors import InputError, one_line
from apdm.ranks import own_device

if TYPE_CHECKING:
    from apdm.backbones.pipeline import PipelineBackbone  # loads diffusers

GIVE = "give a diffusers folder, a .safetensors file or a hub id"


@dataclass(frozen=True)
class Family:
    """What a pipeline of this family is made of, and the backbone that stands on it."""

    backbone: str
    """Module and class in `apdm.backbones`; loaded when needed, for it loads diffusers."""
    networks: tuple[str, ...]
    others: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the pipeline: what it can do and we leave out."""
    may_lack: tuple[str, ...] = ()

    def lacks(self, index: Mapping[str, Any]) -> dict[str, None]:
        """The parts that a model with this index does without, as diffusers wants to be told."""
        return {part: None for part in self.may_lack if (index.get(part) or [None])[0] is None}

    def over(self, pipeline: Any, name: str) -> PipelineBackbone:
        """The backbone that holds `pipeline`."""
        module, _, kind = self.backbone.partition(".")
        return getattr(importlib.import_module(f"apdm.backbones.{module}"), kind)(pipeline, name)


FAMILIES = {
    "StableDiffusionPipeline": Family(
        "stable_diffusion.StableDiffusion",
        networks=("unet", "vae", "text_encoder"),
        others=("tokenizer", "scheduler"),
        settings={"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
    ),
    "StableDiffusionXLPipeline": Family(
        "sdxl.StableDiffusionXL",
        networks=("unet", "vae", "text_encoder", "text_encoder_2"),
        others=("tokenizer", "tokenizer_2", "scheduler"),
        settings={"add_watermarker": False},
    ),
    "StableDiffusion3Pipeline": Family(
        "sd3.StableDiffusion3",
        networks=("transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"),
        others=("tokenizer", "tokenizer_2", "tokenizer_3", "scheduler"),
        may_lack=("text_encoder_3", "tokenizer_3"),
    ),
    "FluxPipeline": Family(
        "flux.Flux",
        networks=("transformer", "vae", "text_encoder", "text_encoder_2"),
        others=("tokenizer", "tokenizer_2", "scheduler"),
        settings={"image_encoder": None, "feature_extractor": None},
    ),
}


def locate(model: str) -> str:
    """The folder, file or hub id that `model` stands for; everything that can be wrong with it is found
    here, before anything heavy is loaded. Raises `InputError`."""
    if model == "toybox":
        return str(TOYBOX_GENERATOR.folder())
    model = current_name(model)
    place = Path(model)
    if place.is_dir():
        _check_folder(place)
    elif place.exists():
        contents(place)
    elif model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise InputError(f"model folder '{model}' does not exist", fix=GIVE)
    return model


def load(model: str, device: str = "cpu") -> PipelineBackbone:
    """Loads `model` in float32 on `device`, of which each of several processes takes its own. Raises
    `InputError` for what cannot be loaded."""
    place, device = locate(model), own_device(device)
    _hide_loading_bars()
    check_device(device)
    with _in_one_line(model):
        if Path(place).is_file():
            told = contents(Path(place))
            family = FAMILIES[told.pipeline]
            pipeline = read(Path(place), told, family.settings)
        else:
            family, pipeline = _from_folder(model, place)
    return family.over(pipeline.to(device), model)


def _from_folder(model: str, place: str) -> tuple[Family, Any]:
    """A diffusers folder here or on the hub; of the latter the index comes first, and alone."""
    import diffusers

    folder = Path(place)
    index = _read_index(folder) if folder.is_dir() else fetch_index(place)
    family = _family(model, index)
    kind = getattr(diffusers, index["_class_name"])
    left_out = {**family.settings, **family.lacks(index)}
    return family, kind.from_pretrained(place, dtype=torch.float32, use_safetensors=True, **left_out)


def blank(model: str) -> Backbone:
    """`model` by its configs alone: its weights are none of its own, and none of them are read or fetched.
    Raises `InputError`."""
    place = locate(model)
    with _in_one_line(model):
        told = contents(Path(place)) if Path(place).is_file() else None
        folder = CONFIGS / told.layout if told else Path(place)
        index = _read_index(folder) if folder.is_dir() else fetch_index(place)
        family = _family(model, index)
        parts: dict[str, Any] = {**tokenizers(told)} if told else {}
        for part in {*family.networks, *family.others} - {*family.lacks(index), *parts}:
            parts[part] = _blank(str(folder) if told else place, part, *index[part])
        pipeline = _class("diffusers", index["_class_name"])(
            **parts, **{**family.settings, **family.lacks(index)}
        )
        return family.over(as_told(pipeline, told, family.settings) if told else pipeline, model)


def _blank(place: str, part: str, library: str, name: str) -> Any:
    """A network as its config describes it; tokenizers and samplers have no weights and are as they are."""
    kind: Any = _class(library, name)
    if nn.Module not in kind.__mro__:
        return kind.from_pretrained(place, subfolder=part)
    if library == "diffusers":
        return kind.from_config(kind.load_config(place, subfolder=part))
    return kind(kind.config_class.from_pretrained(place, subfolder=part))


def _class(library: str, name: str) -> Any:
    """A class that an index names. Raises `InputError` for one of another library, which is not imported."""
    if library not in ("diffusers", "transformers"):
        raise InputError(f"the index names {library}.{name}", fix="give a model of diffusers' own parts")
    return getattr(importlib.import_module(library), name)


@contextmanager
def _in_one_line(model: str) -> Iterator[None]:
    """What only shows while weights are read."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"model '{model}' could not be loaded ({one_line(error)})",
            fix="check that its files are whole and of one version, or give another",
        ) from error


def check_device(device: str) -> None:
    """Raises `InputError` for a device that torch cannot use here."""
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


def _family(model: str, index: Any) -> Family:
    kind = index.get("_class_name") if isinstance(index, dict) else None
    if kind is None:
        raise InputError(f"the index of '{model}' is not a diffusers index", fix="save the model again")
    if kind not in FAMILIES:
        raise InputError(f"'{model}' holds a {kind}", fix=f"this version handles {', '.join(FAMILIES)}")
    return FAMILIES[kind]


def _read_index(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "model_index.json").read_text())


def _check_folder(folder: Path) -> None:
    """That its parts are there, and the headers of its weights whole."""
    place = folder / "model_index.json"
    if not place.is_file() and is_adapter(folder):
        raise InputError(
            f"'{folder}' holds an adapter, not a model",
            fix="give its model, and it to 'apdm generate --adapter'",
        )
    if not place.is_file():
        raise InputError(f"'{folder}' has no model_index.json", fix="give a folder saved by diffusers")
    try:
        index = _read_index(folder)
    except ValueError as error:
        raise InputError(f"'{place}' is not a diffusers index", fix="save the model again") from error
    family = _family(str(folder), index)
    lacks = family.lacks(index)
    for part in (*family.networks, *family.others):
        if part not in lacks and not any((folder / part).glob("*.*")):
            raise InputError(f"'{folder}' has no {part}", fix="give a complete diffusers folder")
    for part in family.networks:
        weights = list((folder / part).glob("*.safetensors"))
        if part not in lacks and not weights:
            raise InputError(
                f"'{folder / part}' has no safetensors weights (pickles are refused)",
                fix="convert it with diffusers' save_pretrained(safe_serialization=True)",
            )
        for file in weights:
            named(file)
