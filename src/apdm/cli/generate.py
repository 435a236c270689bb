"""`apdm generate`: pictures from prompts, each with a seed of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from apdm.backbones.base import Sampling
from apdm.backbones.load import load, locate
from apdm.benchmark.record import LOG_FILE
from apdm.benchmark.store import plain, write_config
from apdm.cli.arguments import choice, read
from apdm.cli.options import MISSING, NOT_RECORDED, new_folder, public_name
from apdm.cli.progress import progress
from apdm.errors import InputError, at_least
from apdm.pixels import grid, save_png
from apdm.prompts import checked, read_prompts
from apdm.seeding import derive
from apdm.toybox import presets

EXAMPLE = (
    'apdm generate toybox --preset toybox --prompt "a photo of a gray dog in the snow" '
    "--output_dir runs/pictures"
)
PRESETS = {"published": Sampling(), "toybox": presets.SAMPLING}


@dataclass(frozen=True)
class Generate:
    """Make pictures from prompts. The same prompt, number and seed give the same picture from any model
    of the family, so folders of two models can be laid side by side. Writes the settings (apdm.json) and the
    log (log.jsonl) beside them."""

    model: tyro.conf.Positional[str]
    """Diffusers folder, .safetensors file, hub id, or "toybox"."""
    output_dir: Path
    """Where the pictures go; must be new or empty."""
    prompt: tuple[str, ...] = ()
    """One or several."""
    prompts_file: Path | None = None
    """One prompt a line, instead of --prompt."""
    num_images: int = 8
    """Pictures for each prompt."""
    preset: str = "published"
    """Defaults of the sampling: "published" or "toybox"."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""
    seed: int = 0
    """Of every draw."""
    sampling: Annotated[Sampling, tyro.conf.arg(name="")] = Sampling()


def main(arguments: Sequence[str]) -> None:
    chosen = choice(arguments, "preset", PRESETS, "published")
    defaults = Generate(MISSING, MISSING, preset=chosen, sampling=PRESETS[chosen])
    wanted = read(Generate, "generate", arguments, EXAMPLE, defaults)
    if wanted.prompts_file and wanted.prompt:
        raise InputError("both --prompt and --prompts_file are given", fix="give one of them")
    prompts = read_prompts(wanted.prompts_file) if wanted.prompts_file else tuple(map(checked, wanted.prompt))
    if not prompts:
        raise InputError("no prompt is given", fix='use --prompt "..." or --prompts_file FILE')
    at_least(wanted, num_images=1)
    locate(wanted.model)
    folder = new_folder(wanted.output_dir)
    backbone = load(wanted.model, wanted.device)
    repeated = [prompt for prompt in prompts for _ in range(wanted.num_images)]
    seeds = [derive(wanted.seed, "generate", number) for number in range(len(repeated))]
    with progress(folder / LOG_FILE) as watch:
        pictures = backbone.generate(repeated, seeds, wanted.sampling, watch)
    save_png(pictures, folder, "picture")
    save_png(grid(pictures, columns=wanted.num_images), folder / "grid", "grid")
    settings = replace(
        wanted, model=public_name(wanted.model), output_dir=NOT_RECORDED, prompt=prompts, prompts_file=None
    )
    write_config(plain(settings), folder)
    print(f"{len(pictures)} pictures in {folder}")
