"""`apdm purify`: answer a cloak, before an attack learns from the photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from apdm import pixels
from apdm.backbones.load import load, locate
from apdm.benchmark.record import LOG_FILE
from apdm.benchmark.store import plain, write_config
from apdm.cli.arguments import choice, read
from apdm.cli.options import MISSING, NOT_RECORDED, check_resolution, new_folder, pictures_in, public_name
from apdm.cli.progress import progress
from apdm.errors import InputError
from apdm.purify.base import Purifier
from apdm.purify.jpeg import Jpeg
from apdm.purify.table import PURIFIERS
from apdm.seeding import derive
from apdm.types import Pixels

EXAMPLE = (
    "apdm toybox render --class_noun dog --seed 500001 --views 4 --output_dir runs/dog && "
    "apdm purify runs/dog --method jpeg --quality 50 --output_dir runs/purified"
)


@dataclass(frozen=True)
class Purify:
    """Purify the pictures of a folder. Writes PNG files in the order of their names, the settings
    (apdm.json) and the log (log.jsonl)."""

    pictures: tyro.conf.Positional[Path]
    """Folder of pictures, such as 'apdm cloak' writes."""
    output_dir: Path
    """Where the purified ones go; must be new or empty."""
    method: str = "jpeg"
    """flip, gaussian_blur, jpeg, resize, total_variation or gridpure; the flags of its settings follow."""
    model: str | None = None
    """Diffusers folder, .safetensors file, hub id, or "toybox", for gridpure."""
    resolution: int | None = None
    """Pixels a side, a multiple of 8; as the pictures are if not given, for gridpure the model's own."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""
    seed: int = 0
    """Of every draw."""
    purifier: Annotated[Purifier, tyro.conf.arg(name="")] = Jpeg()


def main(arguments: Sequence[str]) -> None:
    method = choice(arguments, "method", PURIFIERS, "jpeg")
    defaults = Purify(MISSING, MISSING, method=method, purifier=PURIFIERS[method]())
    wanted = read(Purify, "purify", arguments, EXAMPLE, defaults)
    check_resolution(wanted.resolution)
    if wanted.purifier.needs_model != (wanted.model is not None):
        raise InputError(
            f"{method} works {'with' if wanted.purifier.needs_model else 'without'} a model",
            fix="give --model" if wanted.purifier.needs_model else "leave out --model",
        )
    if wanted.model:
        locate(wanted.model)
    paths = [verdict.path for verdict in pictures_in(wanted.pictures)]
    folder = new_folder(wanted.output_dir)
    backbone = load(wanted.model, wanted.device) if wanted.model else None
    size = backbone.resolution if backbone and wanted.resolution is None else wanted.resolution
    with progress(folder / LOG_FILE) as watch:
        watch("purify", 0, len(paths), {})
        for number, path in enumerate(paths):
            seed = derive(wanted.seed, "picture", number)
            purified = wanted.purifier(_picture(path, size), seed, backbone)
            pixels.save_png(purified, folder, "purified", first=number)
            watch("purify", number + 1, len(paths), {})
    model = public_name(wanted.model) if wanted.model else None
    settings = replace(wanted, pictures=NOT_RECORDED, output_dir=NOT_RECORDED, model=model)
    write_config(plain(settings), folder)
    print(f"{len(paths)} purified pictures in {folder}")


def _picture(path: Path, size: int | None) -> Pixels:
    return pixels.from_image(pixels.read(path).image) if size is None else pixels.load([path], size)
