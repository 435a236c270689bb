"""A point of the trade-off: a tuning toy's protection after so many steps at a rate, and what it is worth.

All that points share (pictures of the class, the references of FID, weights on the way of a protection) is a
cell of one folder, so that processes can work side by side.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from apdm.assets import TOYBOX_GENERATOR, TOYBOX_IDENTITY, TOYBOX_READER, sha256
from apdm.backbones.base import Sampling
from apdm.backbones.load import load
from apdm.benchmark.frozen.cells import Cell, Cells
from apdm.benchmark.frozen.jobs import UNPROTECTED
from apdm.benchmark.frozen.scenario import Scenario
from apdm.benchmark.frozen.workshop import Workshop, held_out_scene
from apdm.benchmark.provenance import device_name
from apdm.benchmark.store import plain
from apdm.metrics.base import NetworkExtractor
from apdm.metrics.judges import EFFICIENTNET, TOYBOX, judge
from apdm.metrics.reader import Reader
from apdm.personalizers.dreambooth import DreamBooth
from apdm.pixels import from_uint8
from apdm.protectors.apdm import protect
from apdm.protectors.material import protection_material
from apdm.steps import PROTECTED, State
from apdm.subject import Subject
from apdm.toybox.presets import PROTECTION
from apdm.toybox.seeds import Purpose
from apdm.toybox.subjects import toy_subject
from apdm.toybox.world import render
from apdm.watch import silent
from rounding import rounded, vanished

SCENES = Purpose.TUNING  # so that a preset may be chosen by what is measured here


@dataclass(frozen=True)
class Point:
    """A model: a toy's protection at a learning rate after so many steps, 0 for the unprotected one; as it
    is or rounded."""

    toy: str
    learning_rate: float
    steps: int
    rounding: str = ""

    @property
    def model(self) -> str:
        """What it is called before it is rounded."""
        return f"{self.toy}-{self.learning_rate:g}-{self.steps}" if self.steps else UNPROTECTED

    @property
    def weights(self) -> str:
        """The name of their cell, before they are rounded."""
        return f"models/{self.model}"

    def waits(self, cells: Cells) -> bool:
        """Whether its weights are still to be made."""
        return self.steps > 0 and self.weights not in cells


@dataclass(frozen=True)
class Run:
    """What all points of a run are measured with."""

    scenario: Scenario
    demo: DreamBooth
    sampling: Sampling
    device: str
    work_dir: Path
    commit: str

    @property
    def about(self) -> dict[str, object]:
        shipped = (TOYBOX_GENERATOR, TOYBOX_IDENTITY, TOYBOX_READER)
        settings = plain((self.scenario, self.demo, self.sampling, PROTECTION))
        weights = [sha256(it.folder() / "SHA256SUMS.json") for it in shipped]
        return {"settings": settings, "weights": weights, "device": self.device, "code": self.commit}

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.about).encode()).hexdigest()[:8]

    def cells(self) -> Cells:
        return Cells(self.work_dir / "cells", self.about)


@cache
def workshop(run: Run) -> Workshop:
    """Of this process."""
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False  # float32 as on a CPU
    eye, distance = judge(TOYBOX), judge(EFFICIENTNET)
    for seeing in (eye, distance):
        assert isinstance(seeing, NetworkExtractor)
        seeing.network.to(run.device)
    return Workshop(
        load("toybox", run.device),
        run.scenario,
        PROTECTION,
        run.sampling,
        eye,
        distance,
        Reader(TOYBOX_READER.folder()),
        run.cells(),
        run.cells(),
        silent,
        SCENES,
    )


@cache
def subject(run: Run, toy: str) -> Subject:
    class_noun, seed = toy.split("-")
    return toy_subject(run.work_dir / "toys" / str(os.getpid()) / toy, class_noun, int(seed), Purpose.TUNING)


def reference_features(run: Run, scenes: range) -> np.ndarray:
    """Of a part of what `Workshop.references` holds."""
    renders = np.stack([render(held_out_scene(index, SCENES).scene) for index in scenes])
    return workshop(run).distance(from_uint8(renders)).numpy()


def protect_on_the_way(run: Run, toy: str, learning_rate: float, stops: Sequence[int]) -> None:
    """Keeps the weights after each number of steps in `stops` that has none; the rate is constant, so they
    are those of a protection of as many steps."""
    shop, who = workshop(run), subject(run, toy)
    names = {steps: Point(toy, learning_rate, steps).weights for steps in stops}
    missing = [steps for steps in stops if names[steps] not in shop.cells]
    if not missing:
        return
    *earlier, end = missing
    config = replace(PROTECTION, learning_rate=learning_rate, outer_steps=end)

    def looked_at(total: int, state: State) -> Iterable[int]:
        for step in range(total):
            yield step
            if step + 1 in earlier:
                shop.cells.get(names[step + 1], lambda: detached(state[PROTECTED]))

    def made() -> Cell:
        backbone = shop.backbone
        material = protection_material(
            backbone,
            who.pixels("protect", backbone.resolution),
            shop.trial.positives(who),
            shop.class_pictures(backbone, UNPROTECTED, who, config.num_class_images),
            who.instance_prompt,
            who.class_prompt,
        )
        protected = protect(backbone, [material], config, run.scenario.seed, silent, looked_at)
        return detached(protected.weights())

    shop.cells.get(names[end], made)


def detached(weights: Mapping[str, Tensor]) -> Cell:
    return {name: value.detach() for name, value in weights.items()}


def measure(run: Run, point: Point) -> dict[str, object]:
    """The point's line: likeness [attack seed][picture] after both attacks, and what the model still can."""
    started = time.monotonic()
    shop, who = workshop(run), subject(run, point.toy)
    model, name, lost = shop.backbone, point.model, None
    if point.steps:
        model = model.copy_with(shop.cells.read(point.weights))
    if point.rounding:
        lost = vanished(shop.backbone.weights(), model.weights(), point.rounding)
        model = model.copy_with(rounded(model.weights(), point.rounding))
        name = f"{name}-{point.rounding}"

    def likeness(attack: DreamBooth) -> list[list[float]]:
        end = [attack.max_train_steps]
        runs = [
            shop.attack(attack, lambda: model, name, who, "attack", s, end) for s in run.scenario.attack_seeds
        ]
        return [short(it["likeness"][0]) for it in runs]

    cost = shop.cost(lambda: model, name)
    right = cost["right"].double().mean(0).tolist()
    return {
        **asdict(point),
        "likeness": {"frozen": likeness(run.scenario.attack), "demo": likeness(run.demo)},
        "class_likeness": short(shop.class_likeness(who)),
        "fid": round(float(cost["fid"]), 4),
        "caption_error": round(float(cost["error"].mean()), 6),
        "class_accuracy": right[0],
        "colour_accuracy": right[1],
        "vanished": lost,
        "seconds": round(time.monotonic() - started, 1),
        "device": device_name(shop.backbone.device),
    }


def short(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.tolist()]
