"""`apdm evaluate`: how much do pictures resemble a subject, and how much of that did protection take?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from apdm.benchmark.measure import STRENGTH_AND_RATE, brisque_figure, figure, own_photos, per_run
from apdm.benchmark.record import Direction, Figure, as_json
from apdm.cli.arguments import read
from apdm.cli.options import SubjectOptions
from apdm.errors import InputError
from apdm.metrics.base import FeatureExtractor
from apdm.metrics.judges import EFFICIENTNET, judge
from apdm.metrics.statistics import Cell
from apdm.pixels import load
from apdm.subject import Subject, inspect
from apdm.types import Pixels

EXAMPLE = (
    "apdm evaluate --generated runs/attacked-protected --control runs/attacked --class_images runs/class "
    "--subject runs/dog --class_noun dog --judge toybox-identity --output_file runs/evaluation.json"
)


@dataclass(frozen=True)
class Evaluate:
    """Measure how much generated pictures resemble a subject (mean cosine to its held-out photos). With
    --control and --class_images also the attack's strength and the protection rate."""

    subject: Annotated[SubjectOptions, tyro.conf.arg(name="")]
    generated: Path
    """Folder of pictures to judge, such as those of the attacked protected model."""
    control: Path | None = None
    """Pictures of the same attack on the unprotected model, from the same prompts and seeds."""
    class_images: Path | None = None
    """Pictures of the class by the unprotected model."""
    judge: str = EFFICIENTNET
    """efficientnet-lite0 (offline), toybox-identity (toys), or a ViT such as facebook/dino-vits16."""
    resolution: int = 512
    """Pictures are brought to this side first."""
    seed: int = 0
    """Of the bootstrap."""
    output_file: Path | None = None
    """Also write the figures as JSON."""


def main(arguments: Sequence[str]) -> None:
    wanted = read(Evaluate, "evaluate", arguments, EXAMPLE)
    if (wanted.control is None) != (wanted.class_images is None):
        raise InputError("a rate needs --control and --class_images", fix="give both or neither")
    subject = wanted.subject.read()
    folders = {"protected": wanted.generated, "unprotected": wanted.control, "class": wanted.class_images}
    pictures = {name: _pictures(folder, wanted.resolution) for name, folder in folders.items() if folder}
    figures = _figures(pictures, subject, judge(wanted.judge), wanted)
    _show(figures, wanted.judge)
    if wanted.output_file:
        wanted.output_file.parent.mkdir(parents=True, exist_ok=True)
        record = {"judge": wanted.judge} | {name: as_json(value) for name, value in figures.items()}
        wanted.output_file.write_text(json.dumps(record, indent=2) + "\n")


def _figures(
    pictures: dict[str, Pixels], subject: Subject, eye: FeatureExtractor, wanted: Evaluate
) -> dict[str, Figure]:
    size, seed = wanted.resolution, wanted.seed
    cells: dict[str, Cell] = {name: per_run(eye, [p], subject, size) for name, p in pictures.items()}
    cells["real"] = per_run(eye, [own_photos(subject, size)], subject, size)
    figures = {
        f"similarity of {name}": figure(
            lambda means: means["it"], {"it": cell}, seed, Direction.REFERENCE, eye.name
        )
        for name, cell in cells.items()
    }
    if "unprotected" in cells:
        names = ("attack strength", "protection rate")
        for name, (statistic, direction) in zip(names, STRENGTH_AND_RATE, strict=True):
            figures[name] = figure(statistic, cells, seed, direction)
    return figures | {f"BRISQUE of {name}": brisque_figure(p, seed) for name, p in pictures.items()}


def _pictures(folder: Path, size: int) -> Pixels:
    """Every picture directly in `folder`, sorted by name. Raises `InputError` if there is none."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", fix="give a folder of pictures")
    paths = [p for p in sorted(folder.iterdir()) if p.is_file() and inspect(p).usable]
    if not paths:
        raise InputError(f"{folder} holds no picture", fix="give the folder that 'apdm generate' wrote")
    return load(paths, size)


def _show(figures: dict[str, Figure], eye: str) -> None:
    table = Table("figure", "value", "95 % interval", "n", title=f"judged by {eye}")
    for name, it in figures.items():
        table.add_row(name, f"{it.value:.3f}", f"{it.low:.3f} to {it.high:.3f}", str(it.n))
    Console().print(table)
