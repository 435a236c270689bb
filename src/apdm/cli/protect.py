"""`apdm protect`: make a model resist being personalised on a subject, or on several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import tyro

from apdm.backbones.base import Backbone, Sampling
from apdm.backbones.execution import Execution
from apdm.backbones.load import load
from apdm.benchmark.card import protected_card
from apdm.benchmark.checkpoints import LATEST, Checkpoints, Run, kept
from apdm.benchmark.store import INDEX, forget_parts, plain, save_model
from apdm.cli.arguments import choice, read
from apdm.cli.options import (
    ASKED,
    MISSING,
    NOT_RECORDED,
    SubjectOptions,
    looked_at,
    new_folder,
    own_folder,
    public_name,
    side,
)
from apdm.cli.progress import progress
from apdm.cli.samples import SAMPLES, Samples, Validation
from apdm.cli.several import refuse_idle
from apdm.cli.trackers import TRACKED, refuse_missing, reporting
from apdm.errors import Diverged, InputError, at_least
from apdm.metrics.base import joint_fingerprint
from apdm.personalizers.base import class_images
from apdm.pixels import resize, save_png
from apdm.protectors.material import ProtectionMaterial, paired_positives, protection_material
from apdm.protectors.table import PROTECTORS, Settings
from apdm.ranks import first
from apdm.subject import Subject
from apdm.toybox import presets
from apdm.types import Pixels
from apdm.watch import Watch, titled

EXAMPLE = (
    "apdm toybox render --class_noun dog --seed 500001 --views 12 --output_dir runs/dog && "
    "apdm protect toybox --preset toybox --subject runs/dog --class_noun dog --output_dir runs/protected"
)
PRESETS = {
    "published": ({name: known.settings for name, known in PROTECTORS.items()}, Sampling()),
    "toybox": (presets.PROTECTIONS, presets.SAMPLING),
}
# What a run that was stopped before its first checkpoint leaves.
BEGUN = ("log.jsonl", "positives", SAMPLES, TRACKED)
S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Protect(Generic[S]):
    """Make a model resist being personalised on a subject, or on several. Writes a diffusers folder with its
    card, the settings (apdm.json), the paired positives and the log (log.jsonl).

    The flags are those of the method: with --method imma --help they are IMMA's."""

    model: tyro.conf.Positional[str]
    """Diffusers folder, .safetensors file, hub id, or "toybox"."""
    subject: Annotated[SubjectOptions, tyro.conf.arg(name="")]
    output_dir: Path
    """Where the protected model goes; must be new or empty."""
    protection: Annotated[S, tyro.conf.arg(name="")]
    also: Annotated[tuple[tuple[Path, str], ...], tyro.conf.UseAppendAction] = ()
    """A further subject: its folder and its class noun, of which and the identifier its prompts are built."""
    method: str = "apdm"
    """apdm, apdm-published, apdm-unpaired, apdm-without-l2p, apdm-leak, ascent, imma, mima, or none."""
    preset: str = "published"
    """Defaults of what follows: "published" (the method's own, for Stable Diffusion) or "toybox"."""
    resolution: int | None = None
    """Pixels a side, a multiple of 8, for some models of 16; the model's own if not given."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""
    seed: int = 0
    """Of every draw."""
    checkpointing_steps: int = 50
    """Updates from one checkpoint to the next; 0 keeps none [our choice]."""
    checkpoints_total_limit: int = 2
    """Checkpoints at a time, the newest; all are removed once the model is written [our choice]."""
    resume_from_checkpoint: str | None = None
    """"latest" of the output folder, or from the start where there is none yet; or a checkpoint's folder."""
    report_to: str | None = None
    """Tracker that is told the losses too: tensorboard, wandb, trackio, ...; none if not given."""
    sampling: Annotated[Sampling, tyro.conf.arg(name="")] = Sampling()
    validation: Annotated[Validation, tyro.conf.arg(name="")] = Validation()
    execution: Annotated[Execution, tyro.conf.arg(name="")] = Execution()


def chosen(arguments: Sequence[str]) -> tuple[str, str, Settings, Sampling]:
    """The method and the preset that are asked for, and the defaults that they have. Raises `InputError`."""
    method = choice(arguments, "method", PROTECTORS, "apdm")
    preset = choice(arguments, "preset", PRESETS, "published")
    settings, sampling = PRESETS[preset]
    return method, preset, settings[method], sampling


def main(arguments: Sequence[str]) -> None:
    method, preset, settings, sampling = chosen(arguments)
    defaults = Protect(MISSING, ASKED, MISSING, settings, method=method, preset=preset, sampling=sampling)
    wanted = read(Protect[type(settings)], "protect", arguments, EXAMPLE, defaults)
    at_least(wanted, checkpointing_steps=0, checkpoints_total_limit=1)
    refuse_idle(wanted.protection)
    refuse_missing(wanted.report_to)
    protector = PROTECTORS[method].using(wanted.protection)
    protector.check(wanted.execution, 1 + len(wanted.also))
    refuse_twice([(wanted.subject.subject, wanted.subject.class_noun), *wanted.also])
    subjects = [looked_at(wanted), *(it.read() for it in _further(wanted))]
    checkpoints, folder = _checkpoints(wanted, subjects), wanted.output_dir
    backbone = load(wanted.model, wanted.device)
    backbone.run_as(wanted.execution)
    checkpoints = checkpoints.of(backbone)
    protected = _protected(wanted, backbone, subjects, checkpoints)
    if not first():
        return
    card = protected_card(
        public_name(wanted.model),
        [(subject.class_noun, len(subject.protect)) for subject in subjects],
        plain(wanted.protection),
        PROTECTORS[method].title,
    )
    save_model(protected.save, folder, card, plain(_published(wanted)))
    checkpoints.discard()
    print(f"protected model in {folder}")


def refuse_twice(named: Sequence[tuple[Path, str]]) -> None:
    """Raises `InputError` for a folder that is given twice under one class noun."""
    seen = set[tuple[Path, str]]()
    for folder, class_noun in named:
        if (folder.resolve(), class_noun) in seen:
            raise InputError(f"{folder} is given twice as a {class_noun}", fix="give each subject once")
        seen.add((folder.resolve(), class_noun))


def _published(wanted: Protect[Settings]) -> Protect[Settings]:
    """The settings without a word on where they were used."""
    return replace(
        wanted,
        subject=wanted.subject.anonymous(),
        also=tuple((NOT_RECORDED, class_noun) for _, class_noun in wanted.also),
        model=public_name(wanted.model),
        output_dir=NOT_RECORDED,
        resume_from_checkpoint=None,
    )


def _further(wanted: Protect[Settings]) -> list[SubjectOptions]:
    """The subjects beside the first one, whose prompts they do not share."""
    shared = replace(wanted.subject, instance_prompt=None, class_prompt=None)
    return [replace(shared, subject=folder, class_noun=noun) for folder, noun in wanted.also]


def _checkpoints(wanted: Protect[Settings], subjects: Sequence[Subject]) -> Checkpoints:
    """This run's, of which all but the weights is checked. Raises `InputError`."""
    settings = {
        "method": wanted.method,
        "resolution": wanted.resolution,
        "seed": wanted.seed,
        "instance_prompt": "; ".join(subject.instance_prompt for subject in subjects),
        "class_prompt": "; ".join(subject.class_prompt for subject in subjects),
        "sampling": plain(wanted.sampling),
        "protection": plain(wanted.protection),
        "mixed_precision": wanted.execution.mixed_precision,
        "use_8bit_adam": wanted.execution.use_8bit_adam,
    }
    photos = joint_fingerprint(*(joint_fingerprint(*subject.hashes("protect")) for subject in subjects))
    run = Run(settings, photos)
    resumed = _beginning(wanted.resume_from_checkpoint, wanted.output_dir)
    if resumed:
        run.refuse_other(resumed)
    every, limit = wanted.checkpointing_steps, wanted.checkpoints_total_limit
    return Checkpoints(wanted.output_dir, run, every, limit, resumed)


def _beginning(asked: str | None, folder: Path) -> Path | None:
    """Makes `folder` this process's own; the checkpoint to begin at, None for the start."""
    if asked is None:
        own_folder(folder)
        if first() and kept(folder):
            what = f"output folder '{folder}' holds checkpoints"
            raise InputError(what, fix="add --resume_from_checkpoint latest, or give a new one")
        new_folder(folder)
        return None
    named = Path(asked) if Path(asked).is_dir() else folder / asked
    if asked != LATEST and not named.is_dir():
        raise InputError(f"there is no checkpoint '{asked}'", fix=f"give {LATEST}, or the folder of one")
    own_folder(folder)
    if first():
        forget_parts(folder)
    resumed = next(reversed(kept(folder)), None) if asked == LATEST else named
    if resumed is None and (folder / INDEX).exists():
        raise InputError(f"output folder '{folder}' holds a finished model", fix="give a new one")
    if resumed is None or resumed.resolve().parent != folder.resolve():
        new_folder(folder, besides=BEGUN if resumed is None else ())
    return resumed


def _protected(
    wanted: Protect[Settings], backbone: Backbone, subjects: Sequence[Subject], checkpoints: Checkpoints
) -> Backbone:
    size = side(wanted.resolution, backbone)  # refused while the folder is still empty
    folder, protector = wanted.output_dir, PROTECTORS[wanted.method].using(wanted.protection)
    shown = Samples(wanted.validation, wanted.seed, wanted.sampling, folder)
    with (
        progress(folder / "log.jsonl") as bars,
        reporting(bars, wanted.report_to, folder, _published(wanted)) as watch,
    ):
        material = _materials(wanted, backbone, subjects, size, watch)
        try:
            steps = shown.along(checkpoints.steps, backbone)
            return protector(backbone, material, wanted.seed, watch, steps)
        except Diverged as error:
            raise checkpoints.diverged(error) from error


def _materials(
    wanted: Protect[Settings], backbone: Backbone, subjects: Sequence[Subject], size: int, watch: Watch
) -> list[ProtectionMaterial]:
    """One for each subject. A class's pictures are drawn once; positives are numbered through."""
    seed, sampling = wanted.seed, wanted.sampling
    count = max(1, wanted.protection.num_class_images)  # what needs none is given one all the same
    priors: dict[str, Pixels] = {}
    found, drawn = list[ProtectionMaterial](), 0
    for subject in subjects:
        photos, class_ = subject.pixels("protect", size), subject.class_prompt
        if class_ not in priors:
            told = titled(watch, "class images")
            priors[class_] = resize(class_images(backbone, class_, count, seed, sampling, told), size)
        told = titled(watch, "positives")
        positives = paired_positives(backbone, class_, len(photos), seed, sampling, told, drawn)
        if first():
            save_png(positives, wanted.output_dir / "positives", "positive", drawn)
        drawn += len(photos)
        pictures = photos, resize(positives, size), priors[class_]
        found.append(protection_material(backbone, *pictures, subject.instance_prompt, class_))
    return found
