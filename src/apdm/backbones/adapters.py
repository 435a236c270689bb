"""What an attack saves that is no whole model, LoRA's factors or a learnt word, put on a model again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from apdm.backbones.words import learn_word, pairs
from apdm.errors import InputError, one_line

if TYPE_CHECKING:
    from apdm.backbones.pipeline import PipelineBackbone  # loads diffusers

FACTORS, WORDS = "pytorch_lora_weights.safetensors", "learned_embeds*.safetensors"  # diffusers' names


def is_adapter(folder: Path) -> bool:
    return (folder / FACTORS).is_file() or any(folder.glob(WORDS))


def check_adapter(folder: Path) -> None:
    """Raises `InputError` for a folder without one."""
    if not is_adapter(folder):
        raise InputError(
            f"'{folder}' holds no LoRA and no learnt word", fix="give a folder that 'apdm personalize' wrote"
        )


def put_on(backbone: PipelineBackbone, folder: Path) -> None:
    """Changes `backbone` in place. Raises `InputError` for an adapter that does not fit it."""
    try:
        if (folder / FACTORS).is_file():
            backbone.pipeline.load_lora_weights(folder, weight_name=FACTORS)
            fits = bool(backbone.pipeline.get_list_adapters())
        else:
            fits = _learn_words(backbone, folder)
    except (KeyError, OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise _misfit(folder, backbone, f" ({one_line(error)})") from error
    if not fits:  # diffusers only warns, and would draw the model without it
        raise _misfit(folder, backbone)


def _learn_words(backbone: PipelineBackbone, folder: Path) -> bool:
    """Every encoder that learns words is given the rows in its own file; whether there are as many files."""
    encoders = [encoder for _, encoder in pairs(backbone)]
    files = [folder / WORDS.replace("*", encoder.removeprefix("text_encoder")) for encoder in encoders]
    if {*files} != {*folder.glob(WORDS)}:
        return False
    stored = [load_file(file) for file in files]
    (word,) = {name for words in stored for name in words}
    learnt = learn_word(backbone, word, len(stored[0][word]), like=word)
    with torch.no_grad():
        for rows, words in zip(learnt, stored, strict=True):
            rows.copy_(words[word])
    return True


def _misfit(folder: Path, backbone: PipelineBackbone, why: str = "") -> InputError:
    return InputError(
        f"adapter '{folder}' does not fit the model '{backbone.name}'{why}",
        fix="give the model it was made of",
    )
