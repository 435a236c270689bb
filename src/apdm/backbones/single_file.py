"""Whole models of SD 1.x, 2.x and XL in one `.safetensors` file, as ComfyUI and A1111 take them."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from apdm.backbones import original
from apdm.backbones.base import Backbone
from apdm.errors import InputError, one_line

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

CONFIGS = Path(__file__).parent / "configs"  # a folder a layout, as diffusers' `config=` takes it
START, END = "<|startoftext|>", "<|endoftext|>"
UNET, VAE = "model.diffusion_model.", "first_stage_model."
PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction"}  # as the header names them


@dataclass(frozen=True)
class Layout:
    """Where the parts of a family stand in the original code, and what its files leave unsaid."""

    pipeline: str
    """diffusers' class."""
    texts: Mapping[str, tuple[str, Callable[[Any], dict[str, Tensor]]]]
    """Of each text encoder: the prefix of its weights, and who names them."""
    pads: Mapping[str, str]
    """Of each tokenizer: what it pads with."""
    mark: str
    """A weight that no other family has."""
    native: Mapping[str, tuple[int, str]]
    """By what the network predicts: pixels a side, and the architecture's name in the header."""
    unsaid: str | None = "epsilon"
    """What the network predicts if nothing says so; None: it may be either."""


SD1 = (512, "stable-diffusion-v1")
SDXL = (1024, "stable-diffusion-xl-v1-base")
LAYOUTS = {
    "sd1": Layout(
        "StableDiffusionPipeline",
        {"text_encoder": ("cond_stage_model.transformer.", original.clip)},
        {"tokenizer": END},
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
        {"epsilon": SD1, "v_prediction": SD1},
    ),
    "sd2": Layout(
        "StableDiffusionPipeline",
        {"text_encoder": ("cond_stage_model.model.", original.open_clip)},
        {"tokenizer": "!"},
        "cond_stage_model.model.token_embedding.weight",
        {"epsilon": (512, "stable-diffusion-v2-512"), "v_prediction": (768, "stable-diffusion-v2-768-v")},
        unsaid=None,
    ),
    "sdxl": Layout(
        "StableDiffusionXLPipeline",
        {
            "text_encoder": ("conditioner.embedders.0.transformer.", original.clip),
            "text_encoder_2": ("conditioner.embedders.1.model.", original.open_clip),
        },
        {"tokenizer": END, "tokenizer_2": "!"},
        "conditioner.embedders.1.model.token_embedding.weight",
        {"epsilon": SDXL, "v_prediction": SDXL},
    ),
}


@dataclass(frozen=True)
class Contents:
    """What a file says of its model without its weights being read."""

    layout: str
    prediction: str
    side: int  # pixels

    @property
    def pipeline(self) -> str:
        return LAYOUTS[self.layout].pipeline


def contents(path: Path) -> Contents:
    """Raises `InputError` for a pickle, a damaged file, and one without a whole model of these families."""
    if path.suffix != ".safetensors":
        raise InputError(
            f"model '{path}' is a file, and not a .safetensors one (pickles are refused)",
            fix="convert it, or give a diffusers folder",
        )
    names, header = named(path)
    layout = next((name for name, layout in LAYOUTS.items() if layout.mark in names), None)
    if layout is None:
        raise InputError(f"'{path}' holds no text encoder of SD 1.x, 2.x or XL", fix="give a whole model")
    for part, prefix in (("UNet", UNET), ("autoencoder", VAE)):
        if not any(name.startswith(prefix) for name in names):
            raise InputError(f"'{path}' has no {part}", fix="give a whole model")
    prediction = _prediction(path, names, header, LAYOUTS[layout].unsaid)
    side = re.match(r"\d+", header.get("modelspec.resolution", ""))
    return Contents(layout, prediction, int(side[0]) if side else LAYOUTS[layout].native[prediction][0])


def named(path: Path) -> tuple[set[str], dict[str, str]]:
    """The names of a `.safetensors` file's weights and what else its header says. Raises `InputError` for a
    file that is not whole."""
    try:
        with safe_open(path, "pt") as file:
            return set(file.keys()), file.metadata() or {}
    except SafetensorError as error:
        raise InputError(f"'{path}' is damaged ({one_line(error)})", fix="fetch it again") from error


def _prediction(path: Path, names: set[str], header: Mapping[str, str], unsaid: str | None) -> str:
    """By the header, by ComfyUI's mark, by A1111's file beside it."""
    said = PREDICTIONS.get(header.get("modelspec.prediction_type", ""))
    if said:
        return said
    if "v_pred" in names:
        return "v_prediction"
    beside = path.with_suffix(".yaml")
    if beside.is_file():
        v = re.search(r"parameterization:\s*[\"']?v\b", beside.read_text())
        return "v_prediction" if v else "epsilon"
    if unsaid is None:
        raise InputError(
            f"'{path}' does not say whether it predicts epsilon or v",
            fix=f"put the original settings beside it as '{beside.name}', or give a diffusers folder",
        )
    return unsaid


def read(path: Path, told: Contents, settings: Mapping[str, Any]) -> Any:
    """The pipeline, float32, with `settings` of its class, by the configs that ship with us. Raises
    `InputError` if weights are missing."""
    import diffusers

    kind = getattr(diffusers, told.pipeline)
    try:
        loaded = kind.from_single_file(
            str(path),
            config=str(CONFIGS / told.layout),
            local_files_only=True,
            **tokenizers(told),
            **settings,
        )
    except NotImplementedError as error:  # what torch says of a weight that was promised and never came
        raise InputError(f"'{path}' lacks weights of its model", fix="give a whole model") from error
    return as_told(loaded, told, settings)


def as_told(pipeline: Any, told: Contents, settings: Mapping[str, Any]) -> Any:
    """`pipeline` of our configs with what the file says of its model."""
    pipeline.unet.register_to_config(sample_size=told.side // pipeline.vae_scale_factor)
    scheduler = pipeline.scheduler.from_config(pipeline.scheduler.config, prediction_type=told.prediction)
    return type(pipeline)(**{**pipeline.components, **settings, "scheduler": scheduler})


def tokenizers(told: Contents) -> dict[str, CLIPTokenizer]:
    """Those of a file's model, by name."""
    return {name: clip_tokenizer(pad) for name, pad in LAYOUTS[told.layout].pads.items()}


def write(backbone: Backbone, path: Path) -> None:
    """The whole model, its weights bit for bit. Raises `InputError` where there is no such layout or the
    file could not hold all."""
    pipeline, layout = _exportable(backbone)
    parts = [(UNET, original.unet(pipeline.unet)), (VAE, original.vae(pipeline.vae))]
    for name, (prefix, names) in layout.texts.items():
        parts.append((prefix, names(getattr(pipeline, name))))
    weights = {
        prefix + name: weight.contiguous() for prefix, state in parts for name, weight in state.items()
    }
    save_file(weights, path, _header(backbone, pipeline.scheduler.config["prediction_type"], layout))


def _exportable(backbone: Backbone) -> tuple[Any, Layout]:
    pipeline: Any = getattr(backbone, "pipeline", None)
    kind = type(pipeline).__name__
    known = {layout.pipeline for layout in LAYOUTS.values()}
    if kind not in known:
        raise InputError(
            f"a {kind} is not written into one file",
            fix="give a model of SD 1.x, 2.x or XL, or export a folder",
        )
    for tokenizer in (part for name, part in backbone.text.items() if name.startswith("tokenizer")):
        learnt = set(tokenizer.get_added_vocab()) - set(tokenizer.all_special_tokens)
        if learnt:
            raise InputError(
                f"the model has learnt {', '.join(sorted(learnt))}, and one file holds no new words",
                fix="export a folder",
            )
    # OpenCLIP, of SD 2.x, has the exact GELU; OpenAI's CLIP does not.
    one = "sd2" if pipeline.text_encoder.config.hidden_act == "gelu" else "sd1"
    return pipeline, LAYOUTS["sdxl" if "text_encoder_2" in backbone.text else one]


def _header(backbone: Backbone, prediction: str, layout: Layout) -> dict[str, str]:
    """As the specification asks; readers find there what the weights cannot tell."""
    return {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": layout.native[prediction][1],
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": Path(backbone.name).name,
        "modelspec.prediction_type": {v: k for k, v in PREDICTIONS.items()}[prediction],
        "modelspec.resolution": f"{backbone.resolution}x{backbone.resolution}",
    }


def clip_tokenizer(pad: str) -> CLIPTokenizer:
    """CLIP's own, built from its merges: the 256 bytes, the same at a word's end, what each merge makes."""
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    lines = gzip.decompress((CONFIGS / "clip_merges.txt.gz").read_bytes()).decode().splitlines()
    merges = [tuple(line.split()) for line in lines]
    letters = list(bytes_to_unicode().values())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges), START, END]
    return CLIPTokenizer(
        vocab={token: number for number, token in enumerate(tokens)},
        merges=merges,  # pyright: ignore[reportArgumentType]  (pairs are what tokenizers takes)
        pad_token=pad,
        model_max_length=77,
    )
