"""What an attack saves that is no whole model, LoRA's factors or a learnt word, put on a model again."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from apdm.backbones.single_file import named
from apdm.backbones.words import learn_word, pairs
from apdm.errors import InputError, one_line

if TYPE_CHECKING:
    from apdm.backbones.pipeline import PipelineBackbone  # loads diffusers

FACTORS, WORDS = "pytorch_lora_weights.safetensors", "learned_embeds*.safetensors"  # diffusers' names
DOWN = ("lora_A.weight", "down.weight")  # how the name of a layer's first factor ends, PEFT's and others'


def is_adapter(folder: Path) -> bool:
    return (folder / FACTORS).is_file() or any(folder.glob(WORDS))


def check_adapter(folder: Path, prompts: Sequence[str]) -> None:
    """All that can be known before a model is there. Raises `InputError` for a folder without an adapter, a
    damaged file, and a word that none of `prompts` says: they would be drawn as without it."""
    if (folder / "model_index.json").is_file():
        raise InputError(f"'{folder}' holds a model, not an adapter", fix="give it as the model")
    if not is_adapter(folder):
        raise InputError(
            f"'{folder}' is no folder with {FACTORS} or {WORDS.replace('*', '')}",
            fix="give one that 'apdm personalize' wrote, or name a LoRA's file so (pickles are refused)",
        )
    if (folder / FACTORS).is_file():
        _layers(folder / FACTORS)
    if any(folder.glob(WORDS)):
        word, stored = _learnt(folder)
        if word != word.lower() and any(len(rows) > 1 for rows in stored.values()):
            what = f"'{folder}' holds the word '{word}' of several tokens, and CLIP reads small letters only"
            raise InputError(what, fix="call it so in its files")
        if not any(word in prompt for prompt in prompts):
            raise InputError(
                f"no prompt says '{word}', the word that '{folder}' holds", fix="name the subject by it"
            )


def put_on(backbone: PipelineBackbone, folder: Path) -> None:
    """Changes `backbone` in place. Raises `InputError` for an adapter that does not fit it, in part or at
    all."""
    try:
        if (folder / FACTORS).is_file():
            _add_factors(backbone.pipeline, folder)
        if any(folder.glob(WORDS)):
            _learn_word(backbone, folder)
    except (KeyError, OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"adapter '{folder}' does not fit the model '{backbone.name}' ({one_line(error)})",
            fix="give the model it was made of",
        ) from error


def _add_factors(pipeline: Any, folder: Path) -> None:
    """diffusers only warns of factors that it finds no layer for, and would draw without them. They are
    counted: where it makes several layers of one that is stored (Flux), a missing one may go unseen."""
    stored = _layers(folder / FACTORS)
    with _quiet():
        pipeline.load_lora_weights(folder, weight_name=FACTORS)
    parts = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    added = sum(".lora_A." in name for part in parts for name, _ in part.named_parameters())
    if added < stored:
        raise ValueError(f"of its {stored} layers the model has {added}")


def _layers(file: Path) -> int:
    """How many layers the file has factors for. Raises `InputError` for none, or a damaged file."""
    names, _ = named(file)
    count = sum(name.endswith(DOWN) for name in names)
    if not count:
        raise InputError(f"'{file}' holds no factors of a LoRA", fix="give one that does")
    return count


@contextmanager
def _quiet() -> Iterator[None]:
    """diffusers warns of every encoder that a LoRA leaves alone; what is wrong is said by us."""
    logger = logging.getLogger("diffusers")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)


def _learn_word(backbone: PipelineBackbone, folder: Path) -> None:
    """Every encoder that learns words is given the rows in its own file."""
    word, stored = _learnt(folder)
    files = [WORDS.replace("*", encoder.removeprefix("text_encoder")) for _, encoder in pairs(backbone)]
    if {*files} != stored.keys():
        raise ValueError(f"it has {', '.join(stored)}, and the model takes {', '.join(files)}")
    try:
        learnt = learn_word(backbone, word, len(stored[files[0]]), like=word)
    except InputError as error:  # what it says to do is for who learns a word
        raise ValueError(error.what) from error
    with torch.no_grad():
        for rows, file in zip(learnt, files, strict=True):
            if rows.shape != stored[file].shape:
                given, taken = (" x ".join(map(str, it.shape)) for it in (stored[file], rows))
                raise ValueError(f"{file} has {given} numbers, and the model takes {taken}")
            rows.copy_(stored[file])


def _learnt(folder: Path) -> tuple[str, dict[str, Tensor]]:
    """The word that the folder's files hold, and its rows [k d] by the file's name; diffusers' older scripts
    wrote a single one as [d]. Raises `InputError` for another layout or a damaged file."""
    files = sorted(folder.glob(WORDS))
    for file in files:
        named(file)
    stored = {file.name: load_file(file) for file in files}
    names = {name for tensors in stored.values() for name in tensors}
    if len(names) != 1 or not all(stored.values()) or "emb_params" in names:  # so A1111's; it has no word
        raise InputError(
            f"'{folder}' holds {', '.join(sorted(names)) or 'nothing'} where one learnt word should be",
            fix="name its rows by the word in each file, as diffusers' scripts do",
        )
    (word,) = names
    return word, {file: torch.atleast_2d(tensors[word]) for file, tensors in stored.items()}
