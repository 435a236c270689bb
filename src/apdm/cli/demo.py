"""`apdm demo`: the whole job on the Toybox, from two subjects to a report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from apdm.backbones.load import load
from apdm.benchmark.measure import measure
from apdm.benchmark.record import (
    LOG_FILE,
    PICTURE_FOLDER,
    PICTURE_STEM,
    RESULT_FILE,
    Result,
    SubjectResult,
    write_result,
)
from apdm.benchmark.store import discard, is_part, plain, versions
from apdm.benchmark.trial import Trial, TrialSettings
from apdm.cli.arguments import read
from apdm.cli.options import new_folder, own_folder
from apdm.cli.progress import progress
from apdm.cli.side_by_side import side_by_side
from apdm.metrics.judges import EFFICIENTNET, TOYBOX, judge
from apdm.personalizers.dreambooth import DreamBooth
from apdm.pixels import from_uint8, save_png
from apdm.report import write_contact_sheet, write_report
from apdm.report.contact_sheet import SHEET_FILE
from apdm.report.page import REPORT_FILE, TWIN_FILE
from apdm.subject import Subject
from apdm.toybox import presets
from apdm.toybox.seeds import Purpose
from apdm.toybox.subjects import class_renders, toy_subject
from apdm.watch import Watch

EXAMPLE = "apdm demo --output_dir runs/demo"

CLASS_NOUNS = ("dog", "person")  # of each the first toy of the reported range, and the second as the other
WRITTEN = {LOG_FILE, "subjects", PICTURE_FOLDER, RESULT_FILE, REPORT_FILE, TWIN_FILE, SHEET_FILE}  # by a demo
CLASS_REFERENCES = 128  # renders that class pictures are compared with; our choice
IMAGES_PER_PROMPT = 16  # twice the usual: two attack seeds leave wide intervals; our choice


@dataclass(frozen=True)
class Demo:
    """Protect the Toybox model against a dog and, separately, a person; attack the unprotected and the
    protected models alike; personalise another subject on them; measure; write report.html,
    contact-sheet.png and result.json."""

    output_dir: Path = Path("runs/demo")
    """Replaced if it holds an earlier demo."""
    seed: int = 0
    """Of every draw but those of the attacks, whose two seeds are always 0 and 1."""


def main(arguments: Sequence[str]) -> None:
    wanted = read(Demo, "demo", arguments, EXAMPLE)
    folder = _fresh(wanted.output_dir)
    settings = TrialSettings(
        presets.PROTECTION,
        presets.ATTACK,
        presets.SAMPLING,
        images_per_prompt=IMAGES_PER_PROMPT,
        seed=wanted.seed,
    )
    jobs = [Job(class_noun, settings, folder) for class_noun in CLASS_NOUNS]
    with progress(folder / LOG_FILE, memory=False) as watch:
        results = side_by_side(subject_result, jobs, watch)
    write_result(
        Result(
            subjects=tuple(results),
            toy=True,
            attacks=(_named(presets.ATTACK, settings.attack_seeds),),
            settings=plain(settings),
            versions=versions(),
        ),
        folder,
    )
    print(write_report(folder))
    print(write_contact_sheet(folder))


@dataclass(frozen=True)
class Job:
    """What is done to one subject, and where its pictures go."""

    class_noun: str
    settings: TrialSettings
    folder: Path


def subject_result(job: Job, watch: Watch) -> SubjectResult:
    """The whole job on one subject, in a process of its own."""
    started = time.monotonic()
    backbone = load("toybox")
    subject, other = (
        toy_subject(
            job.folder / "subjects" / f"{job.class_noun}-{seed}", job.class_noun, seed, Purpose.REPORTED
        )
        for seed in (Purpose.REPORTED.seed(0), Purpose.REPORTED.seed(1))
    )
    size = backbone.resolution
    _, pictures = Trial(backbone, job.settings, watch).run(subject, other)
    shown = job.folder / PICTURE_FOLDER / subject.name
    pictures.save(shown)
    _save_photos(subject, other, shown, size)
    save_png(pictures.positives, job.folder / "subjects" / subject.name / "positives", "positive")
    references = from_uint8(class_renders(job.class_noun, Purpose.REPORTED, CLASS_REFERENCES))
    eyes = judge(TOYBOX), judge(EFFICIENTNET)
    result = measure(pictures, subject, other, *eyes, references, size, job.settings.seed, watch)
    return replace(result, seconds={**result.seconds, "all": round(time.monotonic() - started, 1)})


def _named(attack: DreamBooth, seeds: Sequence[int]) -> str:
    return (
        f'DreamBooth with prior preservation, identifier "sks", {attack.max_train_steps} steps of '
        f"{attack.train_batch_size} + {attack.train_batch_size} pictures at learning rate "
        f"{attack.learning_rate:g}, {len(seeds)} seeds"
    )


def _save_photos(subject: Subject, other: Subject, folder: Path, size: int) -> None:
    """The pictures that the attacker had, beside what he made of them."""
    for name, who in (("photos", subject), ("other_photos", other)):
        save_png(who.pixels("attack", size), folder / name, PICTURE_STEM)


def _fresh(folder: Path) -> Path:
    """`folder`, emptied if it is an earlier demo's, finished or not. Raises `InputError` if it holds
    anything else, such as the report of pictures that are not a demo's, or if one is being made there."""
    names = {path.name for path in own_folder(folder).iterdir() if not is_part(path)}
    if names == {LOG_FILE} or ({LOG_FILE, "subjects"} <= names <= WRITTEN):
        for name in (*(names - {"subjects", LOG_FILE}), "subjects", LOG_FILE):  # what tells a demo goes last
            discard(folder / name)
    return new_folder(folder)
