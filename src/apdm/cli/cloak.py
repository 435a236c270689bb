"""`apdm cloak`: change a subject's photos a little, so that a model learns them badly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from apdm import pixels
from apdm.assets import sha256
from apdm.backbones.base import Backbone, Sampling
from apdm.backbones.load import load, locate
from apdm.benchmark.record import LOG_FILE
from apdm.benchmark.store import plain, versions
from apdm.cli.arguments import choice, read
from apdm.cli.options import ASKED, MISSING, NOT_RECORDED, SubjectOptions, opened, public_name, side
from apdm.cli.progress import progress
from apdm.cloaks.aspl import ASPL
from apdm.cloaks.base import Cloak, CloakMaterial
from apdm.cloaks.table import CLOAKS
from apdm.errors import InputError, at_least
from apdm.personalizers.base import class_images
from apdm.subject import Subject
from apdm.types import Pixels
from apdm.watch import Watch, titled

EXAMPLE = (
    "apdm toybox render --class_noun dog --seed 500001 --views 12 --output_dir runs/dog && "
    "apdm cloak toybox --method advdm --budget 8/255 --subject runs/dog --class_noun dog "
    "--output_dir runs/cloaked"
)
RECORD_FILE = "cloak.json"


@dataclass(frozen=True)
class CloakPhotos:
    """Cloak the photos of a subject's attack set, as PNG and never JPEG; surrogates learn from those of its
    protect set. Writes cloak.json (settings, budget, hashes) and the log beside them. To attack what was
    written: apdm personalize MODEL --subject OUTPUT_DIR --same_images."""

    model: tyro.conf.Positional[str]
    """Diffusers folder, .safetensors file, hub id, or "toybox": what an attacker is expected to use."""
    subject: Annotated[SubjectOptions, tyro.conf.arg(name="")]
    output_dir: Path
    """Where the cloaked photos go; must be new or empty."""
    method: str = "aspl"
    """advdm, mist, fsmg, aspl, simac or pap; the flags of its settings follow from it."""
    ensemble: tuple[str, ...] = ()
    """Further models to cloak against at once."""
    target: Path | None = None
    """Picture that mist and targeted variants lead to; a pattern if not given."""
    with_prior_preservation: bool = True
    """Surrogates, where a method trains any, learn the class too [Anti-DreamBooth]."""
    num_class_images: int = 200
    """Pictures of the class for them, by the model itself [Anti-DreamBooth]."""
    resolution: int | None = None
    """Pixels a side, a multiple of 8, for some models of 16; the model's own if not given."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""
    seed: int = 0
    """Of every draw."""
    cloak: Annotated[Cloak, tyro.conf.arg(name="")] = ASPL()
    sampling: Annotated[Sampling, tyro.conf.arg(name="")] = Sampling()


def main(arguments: Sequence[str]) -> None:
    method = choice(arguments, "method", CLOAKS, "aspl")
    published = CLOAKS[method]()  # pyright: ignore[reportCallIssue]
    defaults = CloakPhotos(MISSING, ASKED, MISSING, method=method, cloak=published)
    wanted = read(CloakPhotos, "cloak", arguments, EXAMPLE, defaults)
    at_least(wanted, num_class_images=1)
    for model in wanted.ensemble:
        locate(model)
    if wanted.target:
        if not wanted.cloak.uses_target:
            raise InputError(f"{method} leads to no target", fix="use mist, --targeted, or no --target")
        pixels.read(wanted.target)
    backbone, subject, folder = opened(wanted)
    models = [backbone, *(load(model, wanted.device) for model in wanted.ensemble)]
    size = side(wanted.resolution, *models)
    with progress(folder / LOG_FILE) as watch:
        material = _material(wanted, backbone, subject, size, watch)
        cloaked = wanted.cloak(models, material, wanted.seed, watch)
    paths = pixels.save_png(cloaked, folder, "cloaked")
    (folder / RECORD_FILE).write_text(json.dumps(_record(wanted, subject, paths), indent=2) + "\n")
    print(f"{len(paths)} cloaked photos in {folder}; budget {wanted.cloak.budget.grey_levels:g} grey levels")


def _material(
    wanted: CloakPhotos, backbone: Backbone, subject: Subject, size: int, watch: Watch
) -> CloakMaterial:
    return CloakMaterial(
        pixels=subject.pixels("attack", size),
        clean=subject.pixels("protect", size),
        prior=_prior(wanted, backbone, subject, size, watch),
        instance_prompt=subject.instance_prompt,
        class_prompt=subject.class_prompt,
        target=pixels.load([wanted.target], size) if wanted.target else None,
    )


def _prior(
    wanted: CloakPhotos, backbone: Backbone, subject: Subject, size: int, watch: Watch
) -> Pixels | None:
    if not (wanted.cloak.learns and wanted.with_prior_preservation):
        return None
    pictures = class_images(
        backbone,
        subject.class_prompt,
        wanted.num_class_images,
        wanted.seed,
        wanted.sampling,
        titled(watch, "class images"),
    )
    return pixels.resize(pictures, size)


def _record(wanted: CloakPhotos, subject: Subject, paths: Sequence[Path]) -> dict[str, Any]:
    """The settings without a word on where they were used, and what became of which photo."""
    settings = replace(
        wanted,
        model=public_name(wanted.model),
        ensemble=tuple(map(public_name, wanted.ensemble)),
        subject=wanted.subject.anonymous(),
        output_dir=NOT_RECORDED,
        target=NOT_RECORDED if wanted.target else None,
    )
    budget = wanted.cloak.budget
    photos = subject.hashes("attack")
    return {
        "budget": {"value": budget.value, "range": budget.range, "grey_levels": budget.grey_levels},
        "pictures": [
            {"file": path.name, "sha256": sha256(path), "photo_sha256": photo}
            for path, photo in zip(paths, photos, strict=True)
        ],
        "settings": plain(settings),
        "versions": versions(),
    }
