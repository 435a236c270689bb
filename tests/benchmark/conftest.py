"""A small scenario and made-up methods that say when they are called; a small frozen evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytest
import torch

from apdm.backbones.base import Sampling
from apdm.benchmark.frozen import jobs as module
from apdm.benchmark.frozen.cells import Cells
from apdm.benchmark.frozen.scenario import PLACEBOS, Scenario
from apdm.benchmark.frozen.workshop import Workshop
from apdm.benchmark.tables.examiners import Examiners
from apdm.benchmark.tables.grid import read_grid, read_size
from apdm.benchmark.tables.methods import Methods
from apdm.benchmark.tables.plan import Plan, planned
from apdm.benchmark.tables.runner import Runner, Tools
from apdm.errors import InputError
from apdm.metrics.geneval import Detection
from apdm.metrics.reader import Reader
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.apdm import APDM
from apdm.protectors.ascent import Ascent
from apdm.protectors.table import Protector
from apdm.toybox.identity import CLASS_NOUNS, FUR, PAINT
from apdm.watch import silent

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion

CALLS: list[str] = []

SIZES = """
[toy]
model = "toybox"
judge = "toybox-identity"
preset = "toybox"
subjects = { dog = [0, 1] }
seeds = [0, 1]
class_images = 2
images_per_prompt = { evaluation = 1, diverse = 1 }
sampling = { num_inference_steps = 1 }
views = { protect = 3, attack = 2, held_out = 2 }
personalizer.once = { learning_rate = 1e-3 }
seconds = { "cloak darker" = 60, "attack once" = 10, "class-images" = 1, "protect shifted" = 100 }

[real]
model = "somebody/something"
judge = "facebook/dino-vits16"
preset = "published"
subjects = { dog = ["rex"] }
seeds = [0]
class_images = 2
images_per_prompt = { evaluation = 1 }
sampling = { num_inference_steps = 1 }
"""
SCENARIO = """
name = "small"
title = "A small table"
sheet = ["attack", "cloak, 0 clean", "model"]

[[row]]
label = "attack"
role = "control"
personalizer = "once"
published.similarity = { dog = 0.6 }

[[row]]
label = "cloak, 0 clean"
personalizer = "once"
cloak = "darker"
clean = 0

[[row]]
label = "cloak, N-1 clean"
personalizer = "once"
cloak = "darker"
clean = "N-1"

[[row]]
label = "model"
personalizer = "once"
protector = "shifted"
"""


EXAM = """seeds = [0]
exam.captions = 6
exam.references = 5
exam.questions = 6
exam.objects = 2
exam.distance = "efficientnet-lite0"
exam.clip = "somebody/clip"
exam.answerer = "somebody/answers"
exam.sentences = "somebody/words"
exam.detector = "somebody/detector"
exam.pictures_per_prompt = 2
exam.timed = 2
exam.others = { dog = [2], cat = [0] }
exam.neighbours = { dog = [3, 4] }"""

ATTACK = DreamBooth(learning_rate=1e-3, max_train_steps=2)
PROTECTION = APDM(learning_rate=1e-3, outer_steps=1, inner_steps=1, num_class_images=2, simulated=ATTACK)
FROZEN = Scenario(
    name="small",
    class_nouns=("dog",),
    subjects=(0, 1),
    others=(2,),
    attack=ATTACK,
    strongest=replace(ATTACK, learning_rate=3e-3),
    attack_seeds=(0, 1),
    times=(0.5, 1.0, 2.0),
    class_images=2,
    images_per_prompt=1,
    reference_renders=8,
    captioned_images=8,
    asked_images=2,
    error_scenes=3,
    placebos=PLACEBOS,
)


@dataclass(frozen=True)
class Darker:
    by: float = 0.5
    learns: bool = True

    def __call__(self, backbone: Any, material: Any, seed: int, watch: Any) -> torch.Tensor:
        CALLS.append("cloak")
        if self.by > 1:
            raise InputError("that is too dark", fix="give less")
        return (material.pixels - self.by).clamp(-1, 1)


@dataclass(frozen=True)
class Inverted:
    def __call__(self, pixels: torch.Tensor, seed: int, backbone: Any, watch: Any) -> torch.Tensor:
        CALLS.append("purify")
        return -pixels


@dataclass(frozen=True)
class Shift:
    by: float = 0.01
    num_class_images: ClassVar[int] = 0


def shifted(backbone: Any, material: Any, settings: Shift, seed: int, watch: Any, steps: Any) -> Any:
    CALLS.append("protect")
    model = backbone.copy()
    with torch.no_grad():
        for weight in model.network.parameters():
            weight += settings.by
    return model


@dataclass(frozen=True)
class Once(DreamBooth):
    """Two of its forward passes are one attack: it has one step."""

    max_train_steps: int = 1

    def loss(self, *arguments: Any) -> Any:
        CALLS.append("attack")
        return super().loss(*arguments)


@dataclass(frozen=True)
class Worded(Once):
    placeholder_token: str | None = "<new1>"


class Eyes:
    """All that gives marks: a brighter picture fits better and holds a dog."""

    name, fingerprint, labels, colours = "eyes", "ee", CLASS_NOUNS, tuple({*FUR, *PAINT})

    def __call__(self, pixels: torch.Tensor, asked: Any = None) -> Any:
        levels = pixels.mean((1, 2, 3))
        if asked is None:
            return torch.stack([levels, (1 - levels**2).sqrt()], dim=1)
        return ["dog" if level > 0 else "cat" for level in levels.tolist()]

    def text(self, prompts: Any) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0]] * len(prompts))


class Finder(Eyes):
    def __call__(self, pixels: torch.Tensor, asked: Any = None) -> Any:
        if asked is not None:
            return ["black"] * len(asked)
        found = [Detection("dog", 0.95, (0.0, 0.0, 1.0, 1.0))]
        return [found if level > 0 else [] for level in pixels.mean((1, 2, 3)).tolist()]


class Words:
    """Takes everything that is no choice for the first one."""

    name, fingerprint = "words", "dd"

    def __call__(self, texts: Any) -> torch.Tensor:
        return torch.ones(len(texts), 2)


METHODS = Methods(
    cloaks={"darker": Darker},
    purifiers={"inverted": Inverted},
    protectors={"shifted": Protector("a shift", Shift(), shifted)},
    personalizers={"once": Once, "worded": Worded},
    presets={"toybox": {"protector": {"shifted": Shift(0.02)}}},
)


@pytest.fixture
def calls() -> list[str]:
    CALLS.clear()
    return CALLS


@pytest.fixture
def plan_of(tmp_path: Path) -> Callable[..., Plan]:
    """The plan of `SCENARIO` with some text in it replaced; the same for `SIZES`."""

    def make(*changes: tuple[str, str], sizes: tuple[tuple[str, str], ...] = (), **kept: Any) -> Plan:
        scenario, common = SCENARIO, SIZES
        for old, new in changes:
            assert old in scenario
            scenario = scenario.replace(old, new, 1)
        for old, new in sizes:
            assert old in common
            common = common.replace(old, new, 1)
        place = tmp_path / "scenarios" / "small.toml"
        place.parent.mkdir(exist_ok=True)
        place.write_text(scenario)
        (place.parent / "sizes.toml").write_text(common)
        size = kept.pop("size", "toy")
        grid = read_grid(place)
        return planned(grid, size, read_size(place, grid, size), METHODS, kept.pop("data", None))

    return make


@pytest.fixture
def exam_plan(plan_of: Callable[..., Plan]) -> Callable[..., Plan]:
    """The plan of `SCENARIO` with an exam, some of its text replaced."""

    def make(*changes: tuple[str, str], exam: tuple[tuple[str, str], ...] = (), **kept: Any) -> Plan:
        asked = EXAM
        for old, new in exam:
            assert old in asked
            asked = asked.replace(old, new, 1)
        return plan_of(*changes, sizes=(("seeds = [0, 1]", asked),), **kept)

    return make


@pytest.fixture
def runner_in(tiny: StableDiffusion, mean_colours: Any) -> Callable[..., Runner]:
    """A runner of the tiny model with made-up methods."""

    def make(folder: Path, **changes: Any) -> Runner:
        eyes = Examiners(mean_colours, Eyes(), Eyes(), Words(), Finder(), Finder())
        tools = Tools(METHODS, lambda name, device: tiny, lambda name: mean_colours, lambda *_: eyes)
        return Runner(folder, "cpu", replace(tools, **changes))

    return make


@pytest.fixture(scope="session")
def shop_in(tiny: StableDiffusion, mean_colours: Any) -> Callable[[Path], Workshop]:
    """The workshop of `FROZEN` in a folder, with the tiny model and made-up judges."""

    def always_a_red_dog(pixels: torch.Tensor) -> list[dict[str, str]]:
        return [{"class": "dog", "colour": "red"} for _ in pixels]

    def make(folder: Path) -> Workshop:
        sampling, reader = Sampling(num_inference_steps=2), cast(Reader, always_a_red_dog)
        judges = mean_colours, mean_colours, reader
        kept = Cells(folder / "cells", {}), Cells(folder / "works", {})
        return Workshop(tiny, FROZEN, PROTECTION, sampling, *judges, *kept, silent)

    return make


@pytest.fixture
def quick_defences(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_defences(monkeypatch)


def shorten_defences(patch: pytest.MonkeyPatch) -> None:
    """The two whose settings no scenario gives."""
    patch.setattr(module, "PUBLISHED", replace(PROTECTION, learning_rate=5e-6))
    patch.setattr(module, "ASCENT", Ascent(learning_rate=1e-3, max_train_steps=3))


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory, shop_in: Callable[[Path], Workshop]) -> Workshop:
    """A workshop in which every result of `FROZEN` has been made."""
    shop = shop_in(tmp_path_factory.mktemp("frozen"))
    with pytest.MonkeyPatch.context() as patch:
        shorten_defences(patch)
        module.work(shop)
    return shop
