"""`apdm generate`: pictures from prompts, each with a seed of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro

from apdm.backbones.adapters import check_adapter, put_on
from apdm.backbones.base import Backbone, Sampling, batches
from apdm.backbones.load import load, locate
from apdm.benchmark.record import LOG_FILE
from apdm.benchmark.store import plain, write_config
from apdm.cli.arguments import choice, read
from apdm.cli.options import MISSING, NOT_RECORDED, check_new, new_folder, public_name
from apdm.cli.progress import progress
from apdm.errors import InputError, at_least
from apdm.pixels import grid, save_png
from apdm.prompts import checked, read_named_captions, read_prompts
from apdm.seeding import derive
from apdm.toybox import presets
from apdm.types import Pixels
from apdm.watch import Watch

EXAMPLE = (
    'apdm generate toybox --preset toybox --prompt "a photo of a gray dog in the snow" '
    "--output_dir runs/pictures"
)
ON_GRID = 64  # pictures: an overview, and thousands would fill the memory; our choice
PRESETS = {"published": Sampling(), "toybox": presets.SAMPLING}


@dataclass(frozen=True)
class Generate:
    """Make pictures from prompts. The same prompt, number and seed give the same picture from any model
    of the family, so folders of two models can be laid side by side. Writes the settings (apdm.json), the
    log (log.jsonl) and a grid of the first 64 beside them."""

    model: tyro.conf.Positional[str]
    """Diffusers folder, .safetensors file, hub id, or "toybox"."""
    output_dir: Path
    """Where the pictures go; must be new or empty."""
    prompt: tuple[str, ...] = ()
    """One or several."""
    prompts_file: Path | None = None
    """Instead of --prompt: a text file with one prompt a line; or the captions that 'apdm evaluate tifa' or
    'geneval' asks about (.json, .jsonl), and pictures go into a folder for each."""
    num_images: int = 8
    """Pictures for each prompt."""
    adapter: Path | None = None
    """Put on the model first: a folder that 'apdm personalize' wrote for LoRA or Textual Inversion, or one
    where a file of others has its name (pytorch_lora_weights.safetensors, learned_embeds.safetensors)."""
    preset: str = "published"
    """Defaults of the sampling: "published" or "toybox"."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""
    seed: int = 0
    """Of every draw."""
    sampling: Annotated[Sampling, tyro.conf.arg(name="")] = Sampling()


@dataclass(frozen=True)
class Wish:
    """One picture to be drawn, the `number`-th of `folder`; "" is the output folder itself."""

    prompt: str
    folder: str
    number: int


def main(arguments: Sequence[str]) -> None:
    chosen = choice(arguments, "preset", PRESETS, "published")
    defaults = Generate(MISSING, MISSING, preset=chosen, sampling=PRESETS[chosen])
    wanted = read(Generate, "generate", arguments, EXAMPLE, defaults)
    at_least(wanted, num_images=1)
    wishes = _wishes(wanted)
    locate(wanted.model)
    if wanted.adapter:
        check_adapter(wanted.adapter, [wish.prompt for wish in wishes])
    check_new(wanted.output_dir)
    backbone = load(wanted.model, wanted.device)
    if wanted.adapter:
        put_on(backbone, wanted.adapter)
    folder = new_folder(wanted.output_dir)  # once all is there
    with progress(folder / LOG_FILE) as watch:
        shown = _draw(wishes, backbone, wanted, watch)
    prompts = tuple(wish.prompt for wish in wishes[:: wanted.num_images])
    settings = replace(
        wanted,
        model=public_name(wanted.model),
        adapter=Path(public_name(str(wanted.adapter))) if wanted.adapter else None,
        output_dir=NOT_RECORDED,
        prompt=prompts,
        prompts_file=None,
    )
    write_config(plain(settings), folder)
    if shown:
        save_png(grid(torch.cat(shown), columns=min(wanted.num_images, ON_GRID)), folder / "grid", "grid")
    print(f"{len(wishes)} pictures in {folder}")


def _wishes(wanted: Generate) -> list[Wish]:
    """Every picture, those of one prompt together. Raises `InputError`."""
    if wanted.prompts_file and wanted.prompt:
        raise InputError("both --prompt and --prompts_file are given", fix="give one of them")
    if wanted.prompts_file and wanted.prompts_file.suffix in (".json", ".jsonl"):
        captions = read_named_captions(wanted.prompts_file).items()
        return [Wish(said, name, number) for name, said in captions for number in range(wanted.num_images)]
    prompts = read_prompts(wanted.prompts_file) if wanted.prompts_file else tuple(map(checked, wanted.prompt))
    if not prompts:
        raise InputError("no prompt is given", fix='use --prompt "..." or --prompts_file FILE')
    repeated = [prompt for prompt in prompts for _ in range(wanted.num_images)]
    return [Wish(prompt, "", number) for number, prompt in enumerate(repeated)]


def _draw(wishes: Sequence[Wish], backbone: Backbone, wanted: Generate, watch: Watch) -> list[Pixels]:
    """Each batch is written when it is drawn; the pictures that belong on the grid are given back."""
    kept: list[Pixels] = []
    seeds = [derive(wanted.seed, "generate", number) for number in range(len(wishes))]
    watch("generate", 0, len(wishes), {})
    for rows in batches(len(wishes), wanted.sampling.sample_batch_size):
        some = wishes[rows]
        pictures = backbone.generate([wish.prompt for wish in some], seeds[rows], wanted.sampling)
        drawn = list(zip(some, pictures.split(1), strict=True))
        for wish, picture in drawn:
            save_png(picture, wanted.output_dir / wish.folder, "picture", first=wish.number)
        kept += [picture for wish, picture in drawn if not wish.folder and wish.number < ON_GRID]
        watch("generate", rows.stop, len(wishes), {})
    return kept
