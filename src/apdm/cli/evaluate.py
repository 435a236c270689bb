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

from apdm.benchmark.measure import (
    BRISQUE_DIRECTIONS,
    brisque_figure,
    figure,
    per_run,
    real,
    similarities,
    strength_and_rate,
)
from apdm.benchmark.record import (
    LOG_FILE,
    PICTURE_FOLDER,
    PICTURE_STEM,
    Figure,
    Result,
    SubjectResult,
    as_json,
    write_result,
)
from apdm.benchmark.store import versions
from apdm.cli.arguments import read
from apdm.cli.class_scores import (
    CLASS_FLAGS,
    check_judges,
    check_numbers,
    distance_figures,
    kid_before_and_after,
    prompt_figures,
)
from apdm.cli.options import SubjectOptions, new_folder, pictures_in, public_name
from apdm.cli.progress import progress
from apdm.direction import Direction
from apdm.errors import InputError, at_least
from apdm.metrics.base import FeatureExtractor
from apdm.metrics.brisque import all_flat
from apdm.metrics.cmmd import cmmd
from apdm.metrics.fid import fid
from apdm.metrics.inception import InceptionExtractor
from apdm.metrics.judges import EFFICIENTNET, TOYBOX, judge
from apdm.metrics.kid import kid
from apdm.metrics.statistics import Cell
from apdm.pixels import load, save_png
from apdm.report import write_contact_sheet, write_report
from apdm.subject import Subject
from apdm.types import Pixels
from apdm.watch import Watch

EXAMPLE = (
    "apdm toybox render --class_noun dog --seed 500001 --views 12 --output_dir runs/dog && "
    'apdm generate toybox --preset toybox --prompt "a photo of dog" --output_dir runs/class && '
    "apdm evaluate --generated runs/class --subject runs/dog --class_noun dog --judge toybox-identity"
)

FLAGS = {  # what a record calls a set of pictures, and the flag that names its folder
    "attacked_protected": "generated",
    "attacked_unprotected": "control",
    **CLASS_FLAGS,
}


@dataclass(frozen=True)
class Evaluate:
    """Measure how much generated pictures resemble a subject (mean cosine to its held-out photos). With
    --control and --class_images also the attack's strength and the protection rate, and with --output_dir
    a page and a contact sheet of them."""

    subject: Annotated[SubjectOptions, tyro.conf.arg(name="")]
    generated: Path
    """Folder of pictures to judge, such as those of the attacked protected model."""
    control: Path | None = None
    """Pictures of the same attack on the unprotected model, from the same prompts and seeds."""
    class_images: Path | None = None
    """Pictures of the class by the unprotected model."""
    class_images_protected: Path | None = None
    """The same prompts and seeds by the protected model; shown beside the others."""
    judge: str = EFFICIENTNET
    """efficientnet-lite0 (offline), toybox-identity (toys), or a ViT such as facebook/dino-vits16."""
    clip: str | None = None
    """Also likeness by this CLIP (CLIP-I), CMMD to --references, and the CLIP score of class images that
    'apdm generate' made: a folder or a hub id such as openai/clip-vit-large-patch14."""
    inception: str | None = None
    """Also FID and KID of the class images to --references: Inception's published weights, a file or URL."""
    references: Path | None = None
    """Pictures that class images should be like, for the distances: real ones of the class."""
    resolution: int | None = None
    """Pictures are brought to this side first; that of the generated ones if not given."""
    seed: int = 0
    """Of the bootstrap."""
    output_file: Path | None = None
    """Also write the figures as JSON."""
    output_dir: Path | None = None
    """Also write result.json, the pictures, report.html and contact-sheet.png; must be new or empty."""
    attack: str = "the attack that made these pictures"
    """What the report calls the attack."""
    toy: bool = False
    """The Toybox model drew the pictures: the report calls every figure a toy figure."""


def main(arguments: Sequence[str]) -> None:
    wanted = read(Evaluate, "evaluate", arguments, EXAMPLE)
    if (wanted.control is None) != (wanted.class_images is None):
        raise InputError("a rate needs --control and --class_images", fix="give both or neither")
    if wanted.output_dir and wanted.control is None:
        raise InputError("a report needs --control and --class_images", fix="give both, or no --output_dir")
    check_judges(
        wanted.clip,
        wanted.inception,
        wanted.references,
        class_images=bool(wanted.class_images or wanted.class_images_protected),
    )
    if wanted.resolution is not None:
        at_least(wanted, resolution=1)
    if wanted.output_file and wanted.output_file.is_dir():
        raise InputError(f"--output_file {wanted.output_file} is a folder", fix="name a file")
    subject = wanted.subject.read()
    if subject.protect == subject.held_out and len(subject.held_out) < 2:
        raise InputError("one photo in all sets has nothing to be compared with", fix="give two or more")
    folders = {name: getattr(wanted, flag) for name, flag in FLAGS.items()}
    found = {name: pictures_in(place) for name, place in folders.items() if place}
    if wanted.references:
        found |= {"references": pictures_in(wanted.references)}
        check_numbers({name: len(verdicts) for name, verdicts in found.items()})
    first = found["attacked_protected"][0]
    size = wanted.resolution or min(first.width, first.height)
    pictures = {name: load([v.path for v in verdicts], size) for name, verdicts in found.items()}
    references = pictures.pop("references", None)
    if wanted.output_dir and len(pictures["attacked_protected"]) != len(pictures["attacked_unprotected"]):
        raise InputError("--generated and --control differ in their number", fix="draw both alike")
    folder = new_folder(wanted.output_dir) if wanted.output_dir else None
    eye = judge(wanted.judge)
    with progress(folder / LOG_FILE if folder else None) as watch:
        cells = _cells(pictures, subject, eye, size, watch)
        figures = _figures(cells, eye, wanted.seed) | _defects(pictures, wanted.seed, watch)
        if wanted.clip:
            from apdm.metrics.clip import ClipExtractor  # loads transformers

            clip = ClipExtractor(wanted.clip)
            seen = _cells(pictures, subject, clip, size, watch, "CLIP-I")
            figures |= _likeness(seen, clip, wanted.seed, "CLIP-I")
            figures |= prompt_figures(clip, pictures, folders, wanted.seed)
            figures |= distance_figures({"CMMD": cmmd}, clip, pictures, references, wanted.seed, watch)
        if wanted.inception:
            eye_of_fid, distances = InceptionExtractor(wanted.inception), {"FID": fid, "KID": kid}
            figures |= distance_figures(distances, eye_of_fid, pictures, references, wanted.seed, watch)
    _show(figures, wanted.judge)
    if wanted.output_file:
        wanted.output_file.parent.mkdir(parents=True, exist_ok=True)
        record = {"judge": wanted.judge} | {name: as_json(value) for name, value in figures.items()}
        wanted.output_file.write_text(json.dumps(record, indent=2) + "\n")
    if folder:
        _report(folder, pictures, cells, figures, subject, eye, size, wanted)


def _cells(
    pictures: dict[str, Pixels],
    subject: Subject,
    eye: FeatureExtractor,
    size: int,
    watch: Watch,
    task: str = "judge",
) -> dict[str, Cell]:
    """Named as the statistics want them; "real" are the subject's own photos."""
    kinds = {
        "protected": "attacked_protected",
        "unprotected": "attacked_unprotected",
        "class": "class_unprotected",
    }
    sets = {kind: pictures[name] for kind, name in kinds.items() if name in pictures}
    watch(task, 0, len(sets) + 1, {})
    cells = {"real": real(eye, subject, size)}
    for done, (kind, some) in enumerate(sets.items(), start=1):
        watch(task, done, len(sets) + 1, {})
        cells[kind] = per_run(eye, [some], subject, size)
    watch(task, len(sets) + 1, len(sets) + 1, {})
    return cells


def _figures(cells: dict[str, Cell], eye: FeatureExtractor, seed: int) -> dict[str, Figure]:
    figures = _likeness(cells, eye, seed, "similarity")
    if "unprotected" in cells:
        figures["attack strength"], figures["protection rate"] = strength_and_rate(cells, seed)
    return figures


def _likeness(cells: dict[str, Cell], eye: FeatureExtractor, seed: int, title: str) -> dict[str, Figure]:
    names = {
        "protected": ("generated", Direction.LOWER_PROTECTS),
        "unprotected": ("control", Direction.REFERENCE),
        "class": ("class_images", Direction.REFERENCE),
        "real": ("own photos", Direction.REFERENCE),
    }
    return {
        f"{title} of {name}": figure(lambda means: means["it"], {"it": cells[kind]}, seed, direction, eye)
        for kind, (name, direction) in names.items()
        if kind in cells
    }


def _defects(pictures: dict[str, Pixels], seed: int, watch: Watch) -> dict[str, Figure]:
    """BRISQUE of each set; one of flat pictures only has none."""
    figures = {}
    for done, (name, shown) in enumerate(pictures.items()):
        watch("BRISQUE", done, len(pictures), {})
        if not all_flat(shown):
            figures[f"BRISQUE of {FLAGS[name]}"] = brisque_figure(shown, seed, BRISQUE_DIRECTIONS[name])
    watch("BRISQUE", len(pictures), len(pictures), {})
    return figures


def _report(
    folder: Path,
    pictures: dict[str, Pixels],
    cells: dict[str, Cell],
    figures: dict[str, Figure],
    subject: Subject,
    eye: FeatureExtractor,
    size: int,
    wanted: Evaluate,
) -> None:
    seed = wanted.seed
    found = SubjectResult(
        name=subject.name,
        class_noun=subject.class_noun,
        similarity=similarities(cells, subject, None, eye, size, seed),
        attack_strength=figures["attack strength"],
        protection_rate=figures["protection rate"],
        seconds={},
        kid=kid_before_and_after(figures),
        brisque={
            name: figures[title] for name in pictures if (title := f"BRISQUE of {FLAGS[name]}") in figures
        },
    )
    shown = pictures | {"photos": subject.pixels("attack", size)}
    for name, some in shown.items():
        save_png(some, folder / PICTURE_FOLDER / subject.name / name, PICTURE_STEM)
    settings = {
        "judge": wanted.judge,
        "clip": public_name(wanted.clip) if wanted.clip else None,
        "resolution": size,
        "seed": seed,
        "same_images": wanted.subject.same_images,
    }
    toy = wanted.toy or wanted.judge == TOYBOX
    write_result(Result((found,), toy, (wanted.attack,), settings, versions()), folder)
    print(write_report(folder))
    print(write_contact_sheet(folder))


def _show(figures: dict[str, Figure], eye: str) -> None:
    table = Table("figure", "value", "95 % interval", "n", title=f"judged by {eye}")
    for name, it in figures.items():
        table.add_row(name, f"{it.value:.3f}", f"{it.low:.3f} to {it.high:.3f}", str(it.n))
    Console().print(table)
