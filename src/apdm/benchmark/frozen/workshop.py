"""Where a scenario's results are made, each once: models, attacks on them, and what they still can.

Every attack and every cost is a cell of its own: a few numbers, all that the figures rest on. What they were
made with (models' weights, pictures, features) is large, shared, and can be made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from apdm.backbones.base import Backbone, Sampling, batches, draw_noise
from apdm.benchmark.frozen.cells import Cell, Cells
from apdm.benchmark.frozen.scenario import Scenario
from apdm.benchmark.store import plain
from apdm.benchmark.trial import Trial, TrialSettings
from apdm.losses.denoising import denoising_error
from apdm.metrics.base import FeatureExtractor
from apdm.metrics.fid import frechet_distance, moments
from apdm.metrics.kid import kid
from apdm.metrics.reader import Reader
from apdm.metrics.similarity import per_image_similarity
from apdm.personalizers.base import Material, class_images, course
from apdm.personalizers.dreambooth import DreamBooth
from apdm.pixels import from_uint8, to_uint8
from apdm.protectors.apdm import APDM
from apdm.seeding import derive, generator
from apdm.subject import SetName, Subject
from apdm.toybox.captions import Described, scene, telling_scenes
from apdm.toybox.identity import main_colour, stream
from apdm.toybox.seeds import Purpose
from apdm.toybox.subjects import toy_subject
from apdm.toybox.world import render
from apdm.types import Pixels
from apdm.watch import Watch, titled

RENDERED = 200  # scenes at a time; memory only
REFERENCES = "references"
KID_PICTURES = 1000  # of each side; its halves are drawn from them, our choice


@dataclass(frozen=True)
class Workshop:
    """What all results of a run are made with."""

    backbone: Backbone
    scenario: Scenario
    protection: APDM
    sampling: Sampling
    eye: FeatureExtractor
    """Tells one toy from another."""
    distance: FeatureExtractor
    """Carries FID and KID."""
    reader: Reader
    """Tells class and colour."""
    cells: Cells
    """Results."""
    works: Cells
    """What they were made with; a model here is a name and its network's weights."""
    watch: Watch
    scenes: Purpose = Purpose.REPORTED
    """Whose toys show what models still can; tuning ones where something is chosen by it."""

    @cached_property
    def trial(self) -> Trial:
        settings = TrialSettings(
            self.protection,
            self.scenario.attack,
            self.sampling,
            self.scenario.attack_seeds,
            self.scenario.images_per_prompt,
            self.scenario.seed,
        )
        return Trial(self.backbone, settings, self.watch)

    def model(self, name: str, make: Callable[[], Backbone]) -> Backbone:
        """The model called `name`, made by `make` if it is not there."""

        def weights() -> Cell:
            return {key: value.detach() for key, value in make().weights().items()}

        return self.backbone.copy_with(self.works.get(model_name(name), weights))

    def class_pictures(self, model: Backbone, name: str, subject: Subject, count: int) -> Pixels:
        """`count` pictures of the class by `model`, for the prior of an attack or of a protection."""

        def make() -> Cell:
            told = titled(self.watch, f"class images {name} {subject.class_noun}")
            drawn = class_images(model, subject.class_prompt, count, self.scenario.seed, self.sampling, told)
            return {"pictures": torch.from_numpy(to_uint8(drawn))}

        stored = self.works.get(class_name(name, subject.class_noun, count), make)
        return from_uint8(stored["pictures"].numpy())

    def attack(
        self,
        attack: DreamBooth,
        give: Callable[[], Backbone],
        name: str,
        who: Subject,
        photos: SetName,
        seed: int,
        stops: Sequence[int],
    ) -> Cell:
        """`attack` on the model that `give` gives, looked at after each of `stops` steps: `likeness` [stops
        images] to who's held-out photos. The pictures are kept to be looked at."""
        called = attack_name(attack, name, who, photos, seed, stops)

        def make() -> Cell:
            model = give()
            size = model.resolution
            prior = self.class_pictures(model, name, who, self.scenario.class_images)
            material = Material(
                model.encode(who.pixels(photos, size), who.instance_prompt),
                model.encode(prior, who.class_prompt),
            )
            told = titled(self.watch, f"attack {name} {who.name} {photos} {seed}")
            pictures = [
                self.trial.evaluation_pictures(attacked, who.phrase)
                for attacked in course(model, attack, material, seed, stops, told)
            ]
            shown = torch.stack([torch.from_numpy(to_uint8(p)) for p in pictures])
            self.works.get(shown_name(called), lambda: {"pictures": shown})
            held_out = who.pixels("held_out", size)
            return {"likeness": torch.stack([per_image_similarity(self.eye, p, held_out) for p in pictures])}

        return self.cells.get(called, make)

    def class_likeness(self, who: Subject) -> Tensor:
        """Likeness to `who` of the unprotected model's pictures of the class [images]."""

        def make() -> Cell:
            pictures = self.trial.evaluation_pictures(self.backbone, who.class_noun)
            held_out = who.pixels("held_out", self.backbone.resolution)
            return {"likeness": per_image_similarity(self.eye, pictures, held_out)}

        return self.cells.get(class_likeness_name(who), make)["likeness"]

    def cost(self, give: Callable[[], Backbone], name: str) -> Cell:
        """What the model that `give` gives still can: `fid` [1] and `kid` [value, low, high] of pictures of
        held-out captions; whether asked pictures show their class and colour, `right` [pictures 2]; the
        denoising `error` [scenes]."""

        def make() -> Cell:
            model, scenario, told = give(), self.scenario, titled(self.watch, f"pictures {name}")
            drawn = self._pictures(model, held_out_captions(scenario.captioned_images, self.scenes), told)
            asked = telling_scenes(self.scenes, scenario.asked_images)
            read = self.reader(self._pictures(model, [described.caption for described in asked], told))
            right = [
                (seen["class"] == toy.class_noun, seen["colour"] == main_colour(toy).word)
                for seen, toy in zip(read, (d.scene.toys[0].toy for d in asked), strict=True)
            ]
            features, references = self.distance(drawn), self.references()
            apart = frechet_distance(moments(features), moments(references))
            near = kid(features[:KID_PICTURES], references[:KID_PICTURES], seed=scenario.seed)
            return {
                "fid": torch.tensor([apart], dtype=torch.float64),
                "kid": torch.tensor([near.value, near.low, near.high], dtype=torch.float64),
                "right": torch.tensor(right),
                "error": scene_errors(model, scenario.error_scenes, scenario.seed, self.scenes),
            }

        return self.cells.get(cost_name(name), make)

    def references(self) -> Tensor:
        """Features [renders d] of renders of held-out scenes, what FID and KID compare with."""

        def make() -> Cell:
            scenes = (held_out_scene(i, self.scenes).scene for i in range(self.scenario.reference_renders))
            pieces = iter(lambda: list(islice(scenes, RENDERED)), [])
            features = [self.distance(from_uint8(np.stack([render(s) for s in some]))) for some in pieces]
            return {"features": torch.cat(features)}

        return self.works.get(REFERENCES, make)["features"]

    def _pictures(self, model: Backbone, prompts: Sequence[str], watch: Watch) -> Pixels:
        seeds = [derive(self.scenario.seed, "cost", number) for number in range(len(prompts))]
        return model.generate(prompts, seeds, self.sampling, watch)


@cache
def reported_toy(class_noun: str, index: int) -> Subject:
    """The class's toy number `index` of the reported seeds, rendered once in a process."""
    seed = Purpose.REPORTED.seed(index)
    return toy_subject(Path(_toys().name) / f"{class_noun}-{seed}", class_noun, seed, Purpose.REPORTED)


@cache
def _toys() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="apdm-toys-")


def model_name(model: str) -> str:
    return f"models/{model}"


def class_name(model: str, class_noun: str, count: int) -> str:
    return f"class/{model}/{class_noun}-{count}"


def cost_name(model: str) -> str:
    return f"cost/{model}"


def class_likeness_name(who: Subject) -> str:
    return f"class-likeness/{who.name}"


def shown_name(attack: str) -> str:
    """Of what was drawn after the attack called `attack`."""
    return f"shown/{attack}"


def attack_name(
    attack: DreamBooth, model: str, who: Subject, photos: SetName, seed: int, stops: Sequence[int]
) -> str:
    """What an attack's cell is called: all that it depends on beyond the run's settings."""
    told = json.dumps([plain(attack), list(stops)])
    digest = hashlib.sha256(told.encode()).hexdigest()[:8]
    return f"attack/{model}/{who.name}/{photos}-{attack.learning_rate:g}-{max(stops)}-{digest}-{seed}"


def held_out_scene(index: int, purpose: Purpose = Purpose.REPORTED) -> Described:
    """A scene with toys of `purpose` that no name and no subject of a scenario bears."""
    return scene(stream("evaluation scene", index), purpose)


def held_out_captions(count: int, purpose: Purpose = Purpose.REPORTED) -> list[str]:
    return [held_out_scene(index, purpose).caption for index in range(count)]


@torch.no_grad()
def scene_errors(model: Backbone, count: int, seed: int, purpose: Purpose = Purpose.REPORTED) -> Tensor:
    """Mean denoising error [count] on held-out scenes under their captions; times and noise are always
    the same."""
    errors = []
    for rows in batches(count, RENDERED):
        described = [held_out_scene(index, purpose) for index in range(count)[rows]]
        draws = generator(seed, "scene errors", rows.start)
        encoded = model.encode_images(from_uint8(np.stack([render(d.scene) for d in described])))
        clean = encoded.sample(torch.arange(len(described)), draws)
        noise, t = draw_noise(clean, draws), model.schedule.sample_times(len(clean), draws)
        condition = model.encode_prompts([d.caption for d in described])
        errors.append(denoising_error(model, clean, condition, noise, t).flatten(1).mean(1))
    return torch.cat(errors)
