"""`apdm export`: a model in another form, its weights as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro

from apdm.backbones.load import load, locate
from apdm.backbones.single_file import write
from apdm.benchmark.card import exported_card
from apdm.benchmark.store import save_file, save_model
from apdm.cli.arguments import read
from apdm.cli.options import check_file, new_folder, public_name
from apdm.errors import InputError

EXAMPLE = "apdm export --single_file runs/protected runs/protected.safetensors"


@dataclass(frozen=True)
class Export:
    """Write a model in another form, its weights as they are: a diffusers folder, or with --single_file one
    file with the names of the original code, as ComfyUI and A1111 take it (SD 1.x, 2.x and XL)."""

    model: tyro.conf.Positional[str]
    """Diffusers folder, .safetensors file, hub id, or "toybox"."""
    output: tyro.conf.Positional[Path]
    """A new folder, or with --single_file a new .safetensors file."""
    single_file: bool = False
    """One file instead of a folder."""


def main(arguments: Sequence[str]) -> None:
    wanted = read(Export, "export", arguments, EXAMPLE)
    locate(wanted.model)
    if wanted.single_file:
        _check_new_file(wanted.output)
        save_file(partial(write, load(wanted.model)), wanted.output)
    else:
        folder = new_folder(wanted.output)
        name = public_name(wanted.model)
        save_model(load(wanted.model).save, folder, exported_card(name), {"model": name})
    print(f"model in {wanted.output}")


def _check_new_file(path: Path) -> None:
    if path.suffix != ".safetensors":
        raise InputError(
            f"output '{path}' is no .safetensors file", fix="give a name that ends in .safetensors"
        )
    if path.exists():
        raise InputError(f"output '{path}' exists", fix="give a new one")
    check_file(path, "output")
