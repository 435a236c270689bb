"""`apdm personalize`: the attack. Teaches a model a subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import tyro

from apdm.backbones.base import Backbone, Sampling
from apdm.backbones.execution import Execution
from apdm.backbones.load import load, locate
from apdm.benchmark.card import personalised_card
from apdm.benchmark.store import plain, save_model
from apdm.cli.arguments import choice, read
from apdm.cli.options import ASKED, MISSING, NOT_RECORDED, SubjectOptions, opened, public_name, side
from apdm.cli.progress import progress
from apdm.cli.samples import Samples, Validation
from apdm.cli.several import refuse_idle
from apdm.cli.trackers import refuse_missing, reporting
from apdm.errors import InputError, at_least
from apdm.personalizers.base import Material, Personalizer, class_images, course, says
from apdm.personalizers.table import PERSONALIZERS
from apdm.pixels import resize
from apdm.ranks import first
from apdm.subject import Subject
from apdm.toybox import presets
from apdm.watch import Watch, titled

EXAMPLE = (
    "apdm toybox render --class_noun dog --seed 500001 --views 12 --output_dir runs/dog && "
    "apdm personalize toybox --preset toybox --subject runs/dog --class_noun dog --output_dir runs/attacked"
)
PRESETS = {
    "published": ({name: kind() for name, kind in PERSONALIZERS.items()}, Sampling(), 200),
    "toybox": (presets.ATTACKS, presets.SAMPLING, presets.PROTECTION.num_class_images),
}
METHOD = "dreambooth"
A = TypeVar("A", bound=Personalizer)


@dataclass(frozen=True)
class Personalize(Generic[A]):
    """Attack a model: teach it a subject from the photos of its attack set. Writes what the field shares of
    it: a diffusers folder, LoRA's factors or the learnt word. With the last two draws
    'apdm generate MODEL --adapter OUTPUT_DIR'."""

    model: tyro.conf.Positional[str]
    """Diffusers folder, .safetensors file, hub id, or "toybox"."""
    subject: Annotated[SubjectOptions, tyro.conf.arg(name="")]
    output_dir: Path
    """Where the result goes; must be new or empty."""
    attack: Annotated[A, tyro.conf.arg(name="")]
    method: str = METHOD
    """dreambooth, lora, custom-diffusion or textual-inversion; the last flags here are the chosen one's."""
    preset: str = "published"
    """Defaults of what follows: "published" (for Stable Diffusion) or "toybox"."""
    with_prior_preservation: bool = True
    """Learn the class from its own pictures too, where the attack can [DreamBooth, APDM's attack]."""
    num_class_images: int = 200
    """Pictures of the class [APDM's released code]."""
    class_model: str | None = None
    """Model that makes them; the model under attack if not given, as an attacker has no other."""
    resolution: int | None = None
    """Pixels a side, a multiple of 8, for some models of 16; the model's own if not given."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""
    seed: int = 0
    """Of every draw."""
    report_to: str | None = None
    """Tracker that is told the losses too: tensorboard, wandb, trackio, ...; none if not given."""
    sampling: Annotated[Sampling, tyro.conf.arg(name="")] = Sampling()
    validation: Annotated[Validation, tyro.conf.arg(name="")] = Validation()
    execution: Annotated[Execution, tyro.conf.arg(name="")] = Execution()


def main(arguments: Sequence[str]) -> None:
    method = choice(arguments, "method", PERSONALIZERS, METHOD)
    chosen = choice(arguments, "preset", PRESETS, "published")
    attacks, sampling, count = PRESETS[chosen]
    attack = attacks[method]
    defaults = Personalize(
        MISSING,
        replace(ASKED, identifier=attack.placeholder_token or ASKED.identifier),
        MISSING,
        attack,
        method=method,
        preset=chosen,
        num_class_images=count,
        sampling=sampling,
    )
    wanted = read(Personalize[PERSONALIZERS[method]], "personalize", arguments, EXAMPLE, defaults)
    _check(wanted)
    backbone, subject, folder = opened(wanted)
    backbone.run_as(wanted.execution)
    attacked = _attacked(wanted, backbone, subject, folder)
    if not first():
        return
    card = personalised_card(public_name(wanted.model), method, subject.instance_prompt, plain(wanted.attack))
    save_model(partial(wanted.attack.save, attacked), folder, card, plain(_published(wanted)))
    print(f"attacked model in {folder}")


def _check(wanted: Personalize[Personalizer]) -> None:
    at_least(wanted, num_class_images=1)
    refuse_idle(wanted.attack, wanted.with_prior_preservation)
    refuse_missing(wanted.report_to)
    if wanted.execution.offload:
        raise InputError("an attack keeps nothing that could be offloaded", fix="leave out --offload")
    if wanted.class_model and not wanted.with_prior_preservation:
        raise InputError("--class_model has nothing to draw", fix="leave out --no-with_prior_preservation")
    if wanted.class_model:
        locate(wanted.class_model)
    word, prompt = wanted.attack.placeholder_token, wanted.subject.instance_prompt
    if word and not says(wanted.subject.identifier if prompt is None else prompt, word):
        raise InputError(f"the prompt lacks the new word '{word}'", fix=f"give --identifier '{word}'")


def _published(wanted: Personalize[Personalizer]) -> Personalize[Personalizer]:
    """The settings without a word on where they were used."""
    subject, model = wanted.subject.anonymous(), public_name(wanted.model)
    maker = public_name(wanted.class_model) if wanted.class_model else None
    return replace(wanted, subject=subject, model=model, class_model=maker, output_dir=NOT_RECORDED)


def _attacked(
    wanted: Personalize[Personalizer], backbone: Backbone, subject: Subject, folder: Path
) -> Backbone:
    size = side(wanted.resolution, backbone)
    photos = subject.pixels("attack", size)
    instance = backbone.encode(photos, subject.instance_prompt)
    with (
        progress(folder / "log.jsonl") as bars,
        reporting(bars, wanted.report_to, folder, _published(wanted)) as watch,
    ):
        prior = None
        if wanted.with_prior_preservation and wanted.attack.uses_class_images:
            drawn = class_images(
                load(wanted.class_model, wanted.device) if wanted.class_model else backbone,
                subject.class_prompt,
                wanted.num_class_images,
                wanted.seed,
                wanted.sampling,
                titled(watch, "class images"),
            )
            prior = backbone.encode(resize(drawn, size), subject.class_prompt)
        return _sampled(wanted, backbone, Material(instance, prior), watch)


def _sampled(
    wanted: Personalize[Personalizer], backbone: Backbone, material: Material, watch: Watch
) -> Backbone:
    """The attack, with a grid of samples where one is due."""
    total = wanted.attack.max_train_steps
    shown = Samples(wanted.validation, wanted.seed, wanted.sampling, wanted.output_dir)
    due = shown.due(total)
    if due:
        shown.draw(backbone, 0)
    attacked, stops = backbone, due[1:] or [total]
    way = course(backbone, wanted.attack, material, wanted.seed, stops, watch)
    for attacked, step in zip(way, stops, strict=True):
        if due:
            shown.draw(attacked, step)
    return attacked
