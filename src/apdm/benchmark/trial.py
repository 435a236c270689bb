"""One trial: protect a model against a subject, attack it and its control alike, measure both."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from apdm.backbones.base import Backbone, Sampling
from apdm.benchmark.record import PICTURE_STEM
from apdm.personalizers.base import Material, Personalizer, class_images, personalize
from apdm.personalizers.dreambooth import DreamBooth
from apdm.pixels import save_png
from apdm.prompts import EVALUATION_TEMPLATES, fill
from apdm.protectors.apdm import APDM, protect
from apdm.protectors.material import paired_positives, protection_material
from apdm.seeding import derive
from apdm.subject import Subject
from apdm.types import Pixels
from apdm.watch import Watch, titled


@dataclass(frozen=True)
class TrialSettings:
    """What is done to one subject."""

    protection: APDM = field(default_factory=APDM)
    attack: Personalizer = field(default_factory=DreamBooth)
    sampling: Sampling = field(default_factory=Sampling)
    attack_seeds: tuple[int, ...] = (0, 1)
    """Seeds of the attack's draws; its class images and sampling seeds stay the same."""
    images_per_prompt: int = 8
    """Pictures from each evaluation prompt, "a photo of ..." and "a portrait of ..."."""
    seed: int = 0
    """Of everything else."""


@dataclass(frozen=True)
class Attacked:
    """What an attack made: one set of pictures an attack seed, all from the same prompts and seeds."""

    runs: tuple[Pixels, ...]

    @property
    def shown(self) -> Pixels:
        """The pictures of the first attack seed, the ones a report shows."""
        return self.runs[0]


@dataclass(frozen=True)
class TrialPictures:
    """Everything a trial generated. `other` is another subject of the class, same identifier."""

    class_unprotected: Pixels
    class_protected: Pixels
    class_images_unprotected: Pixels
    class_images_protected: Pixels
    attacked_unprotected: Attacked
    attacked_protected: Attacked
    other_attacked_unprotected: Attacked
    other_attacked_protected: Attacked
    positives: Pixels
    """Paired with the subject's protection set, one for each photo."""
    seconds: dict[str, float]

    def save(self, folder: Path) -> None:
        """Writes the sets that a report shows as `folder`/SET/picture_NNNNN.png."""
        for name in ("class_unprotected", "class_protected"):
            save_png(getattr(self, name), folder / name, PICTURE_STEM)
        for name in ("attacked_unprotected", "attacked_protected"):
            save_png(getattr(self, name).shown, folder / name, PICTURE_STEM)
            other = f"other_{name}"
            save_png(getattr(self, other).shown, folder / other, PICTURE_STEM)


class Trial:
    """Holds what the steps of a trial share: the model, the settings, who watches, the clock."""

    def __init__(self, backbone: Backbone, settings: TrialSettings, watch: Watch) -> None:
        self.backbone, self.settings, self.watch = backbone, settings, watch
        self.seconds: dict[str, float] = {}

    def run(self, subject: Subject, other: Subject) -> tuple[Backbone, TrialPictures]:
        """The protected model, and all pictures made by it and by its unprotected control."""
        size = self.backbone.resolution
        pristine_class = self.class_pictures(self.backbone, subject, "unprotected")
        positives = self.positives(subject)
        protected = self.protected(subject, positives, pristine_class)
        protected_class = self.class_pictures(protected, subject, "protected")
        models = {
            "unprotected": (self.backbone, pristine_class),
            "protected": (protected, protected_class),
        }
        attacks = {
            (who.name, which): self.attack(model, prior, who, who.pixels("attack", size), which)
            for which, (model, prior) in models.items()
            for who in (subject, other)
        }
        return protected, TrialPictures(
            class_unprotected=self.evaluation_pictures(self.backbone, subject.class_noun),
            class_protected=self.evaluation_pictures(protected, subject.class_noun),
            class_images_unprotected=pristine_class,
            class_images_protected=protected_class,
            attacked_unprotected=attacks[subject.name, "unprotected"],
            attacked_protected=attacks[subject.name, "protected"],
            other_attacked_unprotected=attacks[other.name, "unprotected"],
            other_attacked_protected=attacks[other.name, "protected"],
            positives=positives,
            seconds=self.seconds,
        )

    def positives(self, subject: Subject) -> Pixels:
        """A picture of the class by the unprotected model for each photo to protect with."""
        settings = self.settings
        return paired_positives(
            self.backbone,
            subject.class_prompt,
            len(subject.protect),
            settings.seed,
            settings.sampling,
            titled(self.watch, f"positives {subject.name}"),
        )

    def protected(self, subject: Subject, positives: Pixels, prior: Pixels) -> Backbone:
        """The model, protected with the subject's protection set, the pictures that are paired with it and
        the class's pictures `prior`."""
        started = time.monotonic()
        settings, backbone = self.settings, self.backbone
        photos = subject.pixels("protect", backbone.resolution)
        material = protection_material(
            backbone, photos, positives, prior, subject.instance_prompt, subject.class_prompt
        )
        watch = titled(self.watch, f"protect {subject.name}")
        protected = protect(backbone, [material], settings.protection, settings.seed, watch)
        self.seconds["protect"] = time.monotonic() - started
        return protected

    def attack(self, model: Backbone, prior: Pixels, who: Subject, photos: Pixels, which: str) -> Attacked:
        """What `model` draws of `who` after each seed's attack with `photos`; `which` is for the log."""
        started = time.monotonic()
        material = Material(model.encode(photos, who.instance_prompt), model.encode(prior, who.class_prompt))
        runs = []
        for seed in self.settings.attack_seeds:
            watch = titled(self.watch, f"attack {which} {who.name} {seed}")
            attacked = personalize(model, self.settings.attack, material, seed, watch)
            runs.append(self.evaluation_pictures(attacked, who.phrase))
        self.seconds[f"attack_{which}_{who.name}"] = time.monotonic() - started
        return Attacked(tuple(runs))

    def class_pictures(self, model: Backbone, subject: Subject, which: str) -> Pixels:
        """The class images that `model` makes: for the prior of an attack on it, and for KID."""
        settings = self.settings
        return class_images(
            model,
            subject.class_prompt,
            settings.protection.num_class_images,
            settings.seed,
            settings.sampling,
            titled(self.watch, f"class images {which} {subject.class_noun}"),
        )

    def evaluation_pictures(self, model: Backbone, noun: str) -> Pixels:
        """The evaluation prompts for `noun`, each as often as the settings say, seeds always the same."""
        count = self.settings.images_per_prompt
        prompts = [p for p in fill(EVALUATION_TEMPLATES, noun) for _ in range(count)]
        seeds = [derive(self.settings.seed, "evaluation", number) for number in range(len(prompts))]
        return model.generate(prompts, seeds, self.settings.sampling, titled(self.watch, f"pictures {noun}"))
