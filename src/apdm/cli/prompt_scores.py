"""`apdm evaluate tifa|geneval`: do pictures show what their prompts say? No subject is needed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from apdm.backbones.load import check_device
from apdm.benchmark.measure import scored
from apdm.cli.arguments import read
from apdm.cli.class_scores import drawn as told_of
from apdm.cli.figures import check_network, show, write
from apdm.cli.options import check_file, pictures_in, usable
from apdm.cli.progress import progress
from apdm.errors import InputError
from apdm.metrics.base import Score
from apdm.metrics.clip import PUBLISHED, ClipExtractor
from apdm.metrics.colours import ClipColours
from apdm.metrics.detectors import MASK2FORMER, detector, read_names
from apdm.metrics.geneval import GENEVAL, Rules, geneval, read_prompts
from apdm.metrics.sentences import MPNET, MeanPooledEncoder
from apdm.metrics.tifa import read_questions, tifa
from apdm.metrics.vqa import BLIP, QuestionAnswerer
from apdm.pixels import from_image
from apdm.pixels import read as read_picture
from apdm.subject import Verdict
from apdm.types import Pixels
from apdm.watch import Watch, titled

LAYOUT = "draw them with 'apdm generate --prompts_file', or name files or folders as the captions' ids"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What is looked at, and where."""

    pictures: tyro.conf.Positional[tuple[Path, ...]]
    """One folder or several, of a model each: ID.png, ID/*.png as 'apdm generate --prompts_file' writes them,
    or ID/samples/*.png as GenEval's own script does."""
    device: str = "cpu"
    """Where the networks run: cpu, cuda, cuda:1, mps."""
    seed: int = 0
    """Of the bootstrap."""
    output_file: Path | None = None
    """Also write the figures as JSON."""


@dataclass(frozen=True, kw_only=True)
class TifaFlags(Judged):
    """TIFA: questions about each caption, put to a network that answers them. Figures compare with those of
    the same networks and questions only."""

    questions: Path
    """TIFA's question_answers.json, or one of its layout; its ids name the pictures."""
    vqa: str = BLIP
    """Who answers: a BLIP or ViLT trained for visual questions, by folder or hub id."""
    sentence_encoder: str = MPNET
    """Who says which choice an answer means, by folder or hub id."""


@dataclass(frozen=True, kw_only=True)
class GenEvalFlags(Judged):
    """GenEval: are the objects that a prompt names there, in number, colour and place? Figures compare with
    those of the same detector only; the thresholds are Mask2Former's."""

    metadata: Path
    """GenEval's evaluation_metadata.jsonl, or one of its layout; its lines' numbers, from 00000 on, name the
    pictures."""
    detector: str = MASK2FORMER
    """Who finds objects: a Mask2Former for instances or an OWL-ViT, by folder or hub id."""
    object_names: Path | None = None
    """What the detector's classes are called in the metadata, one a line; known for COCO's."""
    clip: str = PUBLISHED
    """Who names colours: a CLIP, by folder or hub id."""
    rules: Annotated[Rules, tyro.conf.arg(name="")] = GENEVAL


def main(arguments: Sequence[str]) -> None:
    verb = arguments[0]
    kind, scores_of, source = {
        "tifa": (TifaFlags, tifa_scores, "--questions tifa_v1.0_question_answers.json"),
        "geneval": (GenEvalFlags, geneval_scores, "--metadata evaluation_metadata.jsonl"),
    }[verb]
    example = f"apdm evaluate {verb} runs/before runs/after {source} --device cuda"
    wanted = read(kind, f"evaluate {verb}", arguments[1:], example)
    if not wanted.pictures:
        raise InputError("no pictures are given", fix="name the folder, or folders, that hold them")
    if wanted.output_file:
        check_file(wanted.output_file, "--output_file")
    check_device(wanted.device)
    found = [(folder, score) for folder, scores in scores_of(wanted).items() for score in scores]
    figures = {f"{score.metric} of {folder}": scored(score) for folder, score in found}
    judges = found[0][1].extractor
    show(figures, f"judged by {judges}")
    if wanted.output_file:
        write(figures, wanted.output_file, judges=judges)


def tifa_scores(wanted: TifaFlags) -> dict[Path, list[Score]]:
    """TIFA of each folder, in all and by element type. Raises `InputError`, before a network is loaded."""
    questions = read_questions(wanted.questions)
    check_network(wanted.vqa, "vqa")
    check_network(wanted.sentence_encoder, "sentence_encoder")
    names = dict.fromkeys(question.id for question in questions)
    drawn = {folder: pictures_by_name(folder, names) for folder in wanted.pictures}
    encoder = MeanPooledEncoder(wanted.sentence_encoder)
    answerer = QuestionAnswerer(wanted.vqa)
    for judge in (encoder, answerer):
        judge.network.to(wanted.device)

    def scores(folder: Path, watch: Watch) -> list[Score]:
        def pictures(id: str) -> Pixels:
            return pixels_of(drawn[folder][id])

        told = titled(watch, f"TIFA {folder}")
        found = tifa(questions, pictures, answerer, encoder, seed=wanted.seed, watch=told)
        return [found.score, *found.by_type.values()]

    with progress() as watch:
        return {folder: scores(folder, watch) for folder in wanted.pictures}


def geneval_scores(wanted: GenEvalFlags) -> dict[Path, list[Score]]:
    """GenEval of each folder, in all, by prompt and by task. Raises as `tifa_scores`."""
    prompts = read_prompts(wanted.metadata)
    names = read_names(wanted.object_names) if wanted.object_names else None
    check_network(wanted.detector, "detector")
    check_network(wanted.clip, "clip")
    numbered = [f"{number:05d}" for number in range(len(prompts))]
    drawn = {folder: pictures_by_name(folder, numbered) for folder in wanted.pictures}
    for folder in wanted.pictures:
        check_prompts(folder, [prompt.text for prompt in prompts])
    eye, clip = detector(wanted.detector, prompts, names), ClipExtractor(wanted.clip)
    for judge in (eye, clip):
        judge.network.to(wanted.device)
    namer = ClipColours(clip)

    def scores(folder: Path, watch: Watch) -> list[Score]:
        def pictures(number: int) -> Pixels:
            return pixels_of(drawn[folder][numbered[number]])

        told = titled(watch, f"GenEval {folder}")
        found = geneval(prompts, pictures, eye, namer, wanted.rules, seed=wanted.seed, watch=told)
        return [found.overall, found.prompts, *found.tasks.values()]

    with progress() as watch:
        return {folder: scores(folder, watch) for folder in wanted.pictures}


def pictures_by_name(folder: Path, names: Collection[str]) -> dict[str, list[Path]]:
    """The pictures of each name, one or more: `folder`/NAME.png, or those in `folder`/NAME/samples, else in
    `folder`/NAME. Raises `InputError` for a name without any, with two such places, or with several sizes."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", fix=LAYOUT)
    alone: dict[str, list[Verdict]] = {name: [] for name in names}
    for verdict in usable(it for it in sorted(folder.iterdir()) if it.is_file() and it.stem in names):
        alone[verdict.path.stem].append(verdict)
    found = {name: _verdicts(folder, name, alone[name]) for name in names}
    if missing := [name for name, verdicts in found.items() if not verdicts]:
        what = f"{folder} has no picture of {len(missing)} of {len(names)} captions, '{missing[0]}' first"
        raise InputError(what, fix=LAYOUT)
    for name, verdicts in found.items():
        if len({(it.width, it.height) for it in verdicts}) > 1:
            raise InputError(f"the pictures of '{name}' in {folder} differ in size", fix="draw them anew")
    return {name: [it.path for it in verdicts] for name, verdicts in found.items()}


def check_prompts(folder: Path, prompts: Sequence[str]) -> None:
    """Raises `InputError` if the pictures in `folder` are known to be drawn from other prompts, or in another
    order; of a longer list the first may be looked at."""
    told = told_of(folder).get("prompt", prompts)
    for number, (was, now) in enumerate(zip(told, prompts, strict=False)):
        if was != now:
            what = f"picture {number:05d} in {folder} was drawn from '{was}', and the metadata has '{now}'"
            raise InputError(what, fix="give the metadata that it was drawn from, in its order")


def pixels_of(paths: Iterable[Path]) -> Pixels:
    """The whole pictures, as large as they are."""
    return torch.cat([from_image(read_picture(path).image) for path in paths])


def _verdicts(folder: Path, name: str, alone: Sequence[Verdict]) -> list[Verdict]:
    place = folder / name
    claims = [it.path for it in alone] + [place] * place.is_dir()
    if len(claims) > 1:
        what = f"{folder} has pictures of '{name}' as {' and as '.join(claim.name for claim in claims)}"
        raise InputError(what, fix="keep one of them")
    if not place.is_dir():
        return [*alone]
    samples = place / "samples"
    return pictures_in(samples if samples.is_dir() else place)
