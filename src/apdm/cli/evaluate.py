"""`apdm evaluate`: how much do pictures resemble a subject, and how much of that did protection take?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import torch
import tyro

from apdm.backbones.load import check_device
from apdm.benchmark.measure import similarities, strength, strength_and_rate
from apdm.benchmark.record import (
    LOG_FILE,
    PICTURE_FOLDER,
    PICTURE_STEM,
    Figure,
    Result,
    SubjectResult,
    write_result,
)
from apdm.benchmark.store import versions
from apdm.cli.arguments import read
from apdm.cli.class_scores import (
    KID,
    check_judges,
    check_numbers,
    distance_figures,
    drawn,
    kid_before_and_after,
    prompt_figures,
)
from apdm.cli.figures import CLASS_FLAGS, FLAGS, Measured, named, show, write
from apdm.cli.options import SubjectOptions, check_file, check_new, new_folder, pictures_in, public_name
from apdm.cli.progress import progress
from apdm.cli.subject_scores import (
    cells_of,
    check_weights,
    defects,
    face_backend,
    faces,
    known_faces,
    likeness,
)
from apdm.errors import InputError, at_least
from apdm.metrics.base import FeatureExtractor, NetworkExtractor
from apdm.metrics.cmmd import cmmd
from apdm.metrics.face import Face, FaceBackend
from apdm.metrics.fid import fid
from apdm.metrics.inception import InceptionExtractor
from apdm.metrics.judges import EFFICIENTNET, TOYBOX, check_name, judge
from apdm.metrics.kid import kid
from apdm.metrics.statistics import Cell
from apdm.pixels import load, save_png
from apdm.report import write_contact_sheet, write_report
from apdm.subject import Subject, Verdict
from apdm.types import Pixels
from apdm.watch import Watch

if TYPE_CHECKING:
    from apdm.metrics.clip import ClipExtractor

EXAMPLE = (
    "apdm toybox render --class_noun dog --seed 500001 --views 12 --output_dir runs/dog && "
    'apdm generate toybox --preset toybox --prompt "a photo of dog" --output_dir runs/class && '
    "apdm evaluate --generated runs/class --subject runs/dog --class_noun dog --judge toybox-identity"
)

WITHOUT_SUBJECT = ("tifa", "geneval")


@dataclass(frozen=True)
class Evaluate:
    """Measure how much generated pictures resemble a subject (mean cosine to its held-out photos). With
    --class_images also the strength of the attack that made them; with --control too, that of the control and
    the protection rate, and with --output_dir a page and a contact sheet of them.

    Whether pictures follow their prompts, 'apdm evaluate tifa' and 'apdm evaluate geneval' say."""

    subject: Annotated[SubjectOptions, tyro.conf.arg(name="")]
    generated: tuple[Path, ...]
    """Folders of pictures to judge, such as those of the attacked protected model, one for each seed of the
    attack: the intervals of likeness, strength and rate are then over seeds and pictures. With one, and those
    of defects and faces always, they are over pictures alone."""
    control: tuple[Path, ...] | None = None
    """The same of the unprotected model: of the same seeds in their order, prompts and sampling seeds."""
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
    faces: Literal["dlib", "dlib-hog", "uniface", "insightface"] | None = None
    """Also FDFR (pictures without a face) and ISM (likeness of faces), for people: by dlib's CNN, or its
    gradients (faster, less exact), or by RetinaFace and ArcFace. Wants the extra of that name, apdm[dlib]."""
    face_weights: Path | None = None
    """Of uniface or insightface: the folder of their ONNX files, if not where they keep them. Nothing is
    fetched."""
    references: Path | None = None
    """Pictures that class images should be like, for the distances: real ones of the class."""
    resolution: int | None = None
    """Pictures are brought to this side first; that of the generated ones if not given."""
    device: str = "cpu"
    """Where the judges run: cpu, cuda, cuda:1, mps."""
    seed: int = 0
    """Of the bootstrap."""
    output_file: Path | None = None
    """Also write the figures as JSON."""
    output_dir: Path | None = None
    """Also write result.json, the pictures, report.html, its twin report.json and contact-sheet.png; must be
    new or empty."""
    attack: str = "the attack that made these pictures"
    """What the report calls the attack; it counts the seeds itself."""
    toy: bool = False
    """The Toybox model drew the pictures: the report calls every figure a toy figure."""


@dataclass(frozen=True)
class Looked:
    """What everything is measured of: pictures by a record's names, folder by folder; those of --references;
    and the side of all in pixels."""

    subject: Subject
    runs: Mapping[str, Sequence[Pixels]]
    references: Pixels | None
    size: int

    @cached_property
    def pictures(self) -> Mapping[str, Pixels]:
        return {name: torch.cat(tuple(folders)) for name, folders in self.runs.items()}


@dataclass(frozen=True)
class Judges:
    """Who looks at the pictures, loaded; None is who was not asked. `known` are the faces of the photos that
    those of the pictures are compared with."""

    eye: FeatureExtractor
    clip: ClipExtractor | None
    inception: FeatureExtractor | None
    faces: FaceBackend | None
    known: Sequence[Face | None]


def main(arguments: Sequence[str]) -> None:
    if arguments and arguments[0] in WITHOUT_SUBJECT:
        from apdm.cli import prompt_scores  # loads transformers

        prompt_scores.main(arguments)
        return
    wanted = read(Evaluate, "evaluate", arguments, EXAMPLE)
    _check(wanted)
    looked = _looked_at(wanted)
    judges = _judges(wanted, looked)
    eye = judges.eye
    folder = new_folder(wanted.output_dir) if wanted.output_dir else None  # once all is there
    with progress(folder / LOG_FILE if folder else None) as watch:
        faces_found = _faces(judges, looked, wanted.seed, watch)
        cells = cells_of(looked.runs, looked.subject, eye, looked.size, watch, "judge")
        similarity, brisque = likeness(cells, eye, wanted.seed), defects(looked.pictures, wanted.seed, watch)
        others = _by_clip(judges.clip, wanted, looked, watch)
        others |= _by_inception(judges.inception, looked, wanted.seed, watch)
    further = {measure: sets for measure, sets in (faces_found | others).items() if sets}
    rates = _rates(cells, wanted.seed)
    figures = named({"similarity": similarity, "BRISQUE": brisque, **further}) | rates
    show(figures, f"judged by {wanted.judge}")
    if folder:
        distance = kid_before_and_after(further)
        found = SubjectResult(
            name=looked.subject.name,
            class_noun=looked.subject.class_noun,
            similarity=similarities(cells, looked.subject, None, eye, looked.size, wanted.seed),
            attack_strength=rates["attack strength"],
            protection_rate=rates["protection rate"],
            seconds={},
            kid=distance,
            brisque=brisque,
            further={measure: sets for measure, sets in further.items() if not (distance and measure == KID)},
        )
        _report(found, looked, folder, wanted)
    if wanted.output_file:
        write(figures, wanted.output_file, judge=wanted.judge)


def _check(wanted: Evaluate) -> None:
    """What can be wrong with the flags, found before any picture is read. Raises `InputError`."""
    _check_seeds("generated", wanted.generated)
    _check_seeds("control", wanted.control)
    if wanted.control and len(wanted.control) != len(wanted.generated):
        what = "--generated and --control differ in their number of folders"
        raise InputError(what, fix="give both for the same seeds")
    if wanted.control and not wanted.class_images:
        raise InputError("--control needs --class_images", fix="give both, or no --control")
    if wanted.output_dir and not wanted.control:
        raise InputError("a report needs --control and --class_images", fix="give both, or no --output_dir")
    check_name(wanted.judge)
    check_judges(
        wanted.clip,
        wanted.inception,
        wanted.references,
        class_images=bool(wanted.class_images or wanted.class_images_protected),
    )
    check_weights(wanted.faces, wanted.face_weights)
    if wanted.resolution is not None:
        at_least(wanted, resolution=1)
    if wanted.output_file:
        check_file(wanted.output_file, "--output_file")
    if wanted.output_dir:
        check_new(wanted.output_dir)
    check_device(wanted.device)


def _check_seeds(flag: str, folders: tuple[Path, ...] | None) -> None:
    """Raises `InputError` for a flag without a folder, or one that would count an attack seed twice."""
    if folders == ():
        raise InputError(f"--{flag} names no folder", fix="give one for each seed of the attack")
    seen = set[Path]()
    for folder in folders or ():
        if folder.resolve() in seen:
            raise InputError(f"--{flag} names {folder} twice", fix="give each seed's folder once")
        seen.add(folder.resolve())


def _looked_at(wanted: Evaluate) -> Looked:
    """All photos and pictures, brought to one size. Raises `InputError`."""
    subject = wanted.subject.read()
    if subject.protect == subject.held_out and len(subject.held_out) < 2:
        raise InputError("one photo in all sets has nothing to be compared with", fix="give two or more")
    found = {name: [pictures_in(folder) for folder in folders] for name, folders in _folders(wanted).items()}
    if wanted.references:
        found |= {"references": [pictures_in(wanted.references)]}
        check_numbers({name: sum(map(len, folders)) for name, folders in found.items()})
    if wanted.output_dir:
        _check_pair(found, "attacked_protected", "attacked_unprotected", wanted)
        _check_pair(found, "class_protected", "class_unprotected", wanted)
    first = found["attacked_protected"][0][0]
    size = wanted.resolution or min(first.width, first.height)
    runs = {
        name: [load([verdict.path for verdict in folder], size) for folder in folders]
        for name, folders in found.items()
    }
    (references,) = runs.pop("references", [None])
    return Looked(subject, runs, references, size)


def _check_pair(found: Mapping[str, Sequence[list[Verdict]]], one: str, other: str, wanted: Evaluate) -> None:
    """Raises `InputError` if a report would lay pictures side by side that do not belong together."""
    if not (one in found and other in found):
        return
    both, folders = f"--{FLAGS[one]} and --{FLAGS[other]}", _folders(wanted)
    sets = [list(zip(found[name], folders[name], strict=True)) for name in (one, other)]
    for (some, place), (others, beside) in zip(*sets, strict=True):
        where, first, second = f"({place}, {beside})", drawn(place), drawn(beside)
        if len(some) != len(others):
            raise InputError(f"{both} differ in their number {where}", fix="draw both alike")
        if first and second and first != second:
            what = f"{both} were drawn from other prompts, seeds or settings {where}"
            raise InputError(what, fix="draw both alike")


def _folders(wanted: Evaluate) -> dict[str, tuple[Path, ...]]:
    """Those that were given, by the record's names of their sets."""
    given = {name: getattr(wanted, flag) for name, flag in FLAGS.items()}
    return {name: it if isinstance(it, tuple) else (it,) for name, it in given.items() if it}


def _judges(wanted: Evaluate, looked: Looked) -> Judges:
    """Raises `InputError` for one that is not there or cannot be loaded, and for photos without a face."""
    backend = face_backend(wanted.faces, wanted.face_weights) if wanted.faces else None
    known = known_faces(backend, looked.subject.pixels("held_out", looked.size)) if backend else ()
    eye, clip = judge(wanted.judge), _clip(wanted.clip) if wanted.clip else None
    inception = InceptionExtractor(wanted.inception) if wanted.inception else None
    for network in (eye, clip, inception):
        if isinstance(network, NetworkExtractor):
            network.network.to(wanted.device)
    return Judges(eye, clip, inception, backend, known)


def _clip(source: str) -> ClipExtractor:
    from apdm.metrics.clip import ClipExtractor  # loads transformers

    return ClipExtractor(source)


def _faces(judges: Judges, looked: Looked, seed: int, watch: Watch) -> Measured:
    return faces(looked.pictures, judges.known, judges.faces, seed, watch) if judges.faces else {}


def _by_clip(clip: ClipExtractor | None, wanted: Evaluate, looked: Looked, watch: Watch) -> Measured:
    if not clip:
        return {}
    pictures, seed = looked.pictures, wanted.seed
    cells = cells_of(looked.runs, looked.subject, clip, looked.size, watch, "CLIP-I")
    found: Measured = {"CLIP-I": likeness(cells, clip, seed)}
    folders = {name: getattr(wanted, flag) for name, flag in CLASS_FLAGS.items()}
    found["CLIP score"] = prompt_figures(clip, pictures, folders, seed)
    return found | distance_figures({"CMMD": cmmd}, clip, pictures, looked.references, seed, watch)


def _by_inception(eye: FeatureExtractor | None, looked: Looked, seed: int, watch: Watch) -> Measured:
    if not eye:
        return {}
    return distance_figures({"FID": fid, "KID": kid}, eye, looked.pictures, looked.references, seed, watch)


def _rates(cells: Mapping[str, Cell], seed: int) -> dict[str, Figure]:
    """How far the attack went; where there is a control, how far that one did, and the protection rate."""
    if "class" not in cells:
        return {}
    if "unprotected" not in cells:
        return {"attack strength": strength({**cells, "unprotected": cells["protected"]}, seed)}
    return dict(zip(("attack strength", "protection rate"), strength_and_rate(cells, seed), strict=True))


def _report(found: SubjectResult, looked: Looked, folder: Path, wanted: Evaluate) -> None:
    """Writes the record, the pictures, and a page and a sheet of them."""
    shown = {**looked.pictures, "photos": looked.subject.pixels("attack", looked.size)}
    for name, some in shown.items():
        save_png(some, folder / PICTURE_FOLDER / found.name / name, PICTURE_STEM)
    settings = {
        "judge": wanted.judge,
        "clip": public_name(wanted.clip) if wanted.clip else None,
        "faces": wanted.faces,
        "resolution": looked.size,
        "seed": wanted.seed,
        "same_images": wanted.subject.same_images,
    }
    toy = wanted.toy or wanted.judge == TOYBOX
    write_result(Result((found,), toy, (_named(wanted),), settings, versions()), folder)
    print(write_report(folder))
    print(write_contact_sheet(folder))


def _named(wanted: Evaluate) -> str:
    seeds = len(wanted.generated)
    told = f"{seeds} seeds" if seeds > 1 else "one seed: intervals are over its pictures alone"
    return f"{wanted.attack}, {told}"
