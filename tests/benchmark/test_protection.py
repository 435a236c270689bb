"""The protection scenario on the tiny model with made-up judges: which results it makes, and its figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from apdm.backbones.base import Sampling
from apdm.benchmark import protection, workshop
from apdm.benchmark.cells import Cells
from apdm.benchmark.protection import figures, protected_name, subjects_of, work
from apdm.benchmark.record import Figure
from apdm.benchmark.scenario import PLACEBOS, Scenario
from apdm.benchmark.workshop import Workshop
from apdm.metrics.base import FeatureExtractor
from apdm.metrics.reader import Reader
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.apdm import APDM
from apdm.protectors.ascent import Ascent
from apdm.toybox import captions
from apdm.toybox.seeds import Purpose
from apdm.types import Pixels
from apdm.watch import silent

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion

ATTACK = DreamBooth(learning_rate=1e-3, max_train_steps=2)
PROTECTION = APDM(learning_rate=1e-3, outer_steps=1, inner_steps=1, num_class_images=2, simulated=ATTACK)
SCENARIO = Scenario(
    name="small",
    class_nouns=("dog",),
    subjects=(0, 1),
    others=(2,),
    attack=ATTACK,
    strongest=dataclasses.replace(ATTACK, learning_rate=3e-3),
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


def always_a_red_dog(pixels: Pixels) -> list[dict[str, str]]:
    return [{"class": "dog", "colour": "red"} for _ in pixels]


def shop_in(folder: Path, tiny: StableDiffusion, judge: FeatureExtractor) -> Workshop:
    return Workshop(
        tiny,
        SCENARIO,
        PROTECTION,
        Sampling(num_inference_steps=2),
        judge,
        judge,
        cast(Reader, always_a_red_dog),
        folder,
        Cells(folder / "cells", {}),
        silent,
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tiny: StableDiffusion, mean_colours) -> Workshop:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protection, "PUBLISHED", dataclasses.replace(PROTECTION, learning_rate=5e-6))
        patch.setattr(protection, "ASCENT", Ascent(learning_rate=1e-3, max_train_steps=3))
        patch.setattr(protection, "KID_PICTURES", 8)
        shop = shop_in(tmp_path_factory.mktemp("scenario"), tiny, mean_colours)
        for class_noun in SCENARIO.class_nouns:
            for number in range(len(SCENARIO.subjects)):
                work(shop, class_noun, number)
    return shop


@pytest.fixture(scope="module")
def found(done: Workshop) -> dict[str, Figure | dict[str, Figure]]:
    return figures(done)


def test_every_figure_is_there_with_its_n(found: dict[str, Figure | dict[str, Figure]]) -> None:
    attacked = 2 * 2 * 2  # subjects x seeds x pictures
    expected = {
        "attack_strength": attacked,
        "protection_rate_0.5x": 2 * attacked,
        "protection_rate_1x": 2 * attacked,
        "protection_rate_2x": 2 * attacked,
        "protection_rate_strongest": 2 * attacked,
        "protection_rate_same_photos": 2 * attacked,
        "other_subject_strength_ratio": 2 * attacked,
        "class_accuracy_drop": 2 * 2,
        "colour_accuracy_drop": 2 * 2,
        "caption_error_ratio": 2 * 3,
    }
    assert {name: cast(Figure, found[name]).n for name in expected} == expected
    rated = cast("dict[str, Figure]", found["placebos"])
    assert {placebo: rate.n for placebo, rate in rated.items()} == {
        "no DPO": 2 * attacked,
        "another subject's protection": 2 * attacked,
        "published preset": attacked,  # of the first subject only
        "naive ascent": 2 * attacked,
    }
    assert cast(Figure, found["class_accuracy_drop"]).value == 0  # the same is read of all


def test_a_rate_is_the_one_of_its_cells(done: Workshop, found: dict[str, Figure | dict[str, Figure]]) -> None:
    cells = protection.rate_cells(done, protected_name, protection.Look(ATTACK, SCENARIO.stops, 2))
    means = {
        name: np.mean([np.mean([np.mean(images) for images in subject]) for subject in cell])
        for name, cell in cells.items()
    }
    gained = means["unprotected"] - means["class"]
    rate = cast(Figure, found["protection_rate_1x"]).value
    assert rate == pytest.approx((means["unprotected"] - means["protected"]) / gained, rel=1e-4)


@pytest.mark.parametrize("purpose", [Purpose.REPORTED, Purpose.TUNING])
def test_scenes_show_toys_of_the_workshops_purpose(
    purpose: Purpose, tmp_path: Path, tiny: StableDiffusion, mean_colours, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them: for the captions, the questions, the errors and the references. Reported unless told."""
    asked: list[Purpose] = []

    def spy(rng: np.random.Generator, whose: Purpose, *kind: Any) -> captions.Described:
        asked.append(whose)
        return scene(rng, whose, *kind)

    scene = captions.scene
    monkeypatch.setattr(captions, "scene", spy)
    monkeypatch.setattr(workshop, "scene", spy)
    shop = shop_in(tmp_path, tiny, mean_colours)
    if purpose is not Purpose.REPORTED:
        shop = dataclasses.replace(shop, scenes=purpose)
    shop.references()
    shop.cost(tiny, protection.UNPROTECTED)
    assert set(asked) == {purpose}
    assert len(asked) >= 8 + 8 + 2 + 3


def test_no_attack_is_made_twice_or_by_the_figures(done: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*_: Any) -> None:
        raise AssertionError("an attack was made again")

    monkeypatch.setattr(workshop, "course", made)
    work(done, "dog", 0)
    figures(done)


def test_the_placebos_are_what_they_are_called(
    done: Workshop, found: dict[str, Figure | dict[str, Figure]]
) -> None:
    first, second = subjects_of(done, "dog")
    names = {
        placebo: protection.placebo_name(done, placebo, first)
        for placebo in cast("dict[str, Figure]", found["placebos"])
    }
    assert names["another subject's protection"] == protected_name(second)
    stored = {
        name: done.cells.get(f"models/{called}", dict)
        for name, called in {**names, "own": protected_name(first)}.items()
    }
    own = stored.pop("own")
    for weights in stored.values():
        assert any(not torch.equal(weights[key], own[key]) for key in own)


def test_ascent_goes_as_far_as_protection(
    tmp_path: Path, tiny: StableDiffusion, mean_colours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protection, "ASCENT", Ascent(learning_rate=1e-3, max_train_steps=50))
    shop = shop_in(tmp_path, tiny, mean_colours)
    subject = shop.subject("dog", 0)
    wanted = protection.moved(tiny, protection.protected_model(shop, subject))
    assert wanted <= protection.moved(tiny, protection.ascended_model(shop, subject)) < 3 * wanted


def test_each_attack_is_on_the_model_that_it_is_called_after(
    tmp_path: Path, tiny: StableDiffusion, mean_colours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protection, "PUBLISHED", dataclasses.replace(PROTECTION, learning_rate=5e-6))
    monkeypatch.setattr(protection, "ASCENT", Ascent(learning_rate=1e-3, max_train_steps=3))
    shop = shop_in(tmp_path, tiny, mean_colours)
    attacked: list[tuple[str, list[Tensor]]] = []

    def spy(self: Workshop, attack: DreamBooth, model: Any, name: str, *_: object) -> dict[str, Tensor]:
        attacked.append((name, [weight.detach().clone() for weight in model.weights().values()]))
        return {}

    monkeypatch.setattr(Workshop, "attack", spy)
    work(shop, "dog", 0)
    assert len({name for name, _ in attacked}) == 6  # unprotected, protected, four placebos
    for name, weights in attacked:
        kept = tiny.weights() if name == protection.UNPROTECTED else shop.cells.read(f"models/{name}")
        assert all(torch.equal(a, b) for a, b in zip(weights, (kept[n] for n in tiny.weights()), strict=True))


def test_the_headline_is_the_lowest_rate_from_the_attacks_own_length_on(
    found: dict[str, Figure | dict[str, Figure]],
) -> None:
    rates = [cast(Figure, found[f"protection_rate_{multiple}"]).value for multiple in ("1x", "2x")]
    assert cast(Figure, found["headline"]).value == min(rates)


def test_likeness_along_the_attack_is_the_mean_of_its_pictures(
    done: Workshop, found: dict[str, Figure | dict[str, Figure]]
) -> None:
    names = {"unprotected": lambda _: protection.UNPROTECTED, "protected": protected_name}
    for model, named in names.items():
        along = cast("dict[str, Figure]", found[f"likeness_{model}"])
        assert list(along) == ["1", "2", "4"]
        look = protection.Look(ATTACK, SCENARIO.stops, 4)
        runs = [protection.likeness(done, named(who), who, look) for who in subjects_of(done, "dog")]
        assert along["4"].value == pytest.approx(np.mean(runs), abs=1e-6)
        assert along["4"].n == 2 * 2 * 2


def test_each_subject_has_a_rate_of_its_own(
    done: Workshop, found: dict[str, Figure | dict[str, Figure]]
) -> None:
    rates = cast("dict[str, Figure]", found["protection_rate_1x_by_subject"])
    first, second = subjects_of(done, "dog")
    assert list(rates) == [first.name, second.name]
    cells = protection.rate_cells(done, protected_name, protection.Look(ATTACK, SCENARIO.stops, 2))
    for place, rate in enumerate(rates.values()):
        was, now, of_class = (
            np.mean([np.mean(run) for run in cells[key][place]])
            for key in ("unprotected", "protected", "class")
        )
        assert rate.value == pytest.approx((was - now) / (was - of_class), rel=1e-4)


def test_the_pictures_are_those_of_the_first_seed(done: Workshop) -> None:
    first, second = subjects_of(done, "dog")
    shown = protection.pictures(done, "dog", 0)
    assert len(shown) == 1 + 2 * 3 + 2 + len(PLACEBOS) + 2 + 2
    assert "published preset" not in protection.pictures(done, "dog", 1)
    seen = done.cells.read(
        workshop.attack_name(ATTACK, protected_name(second), first, "attack", 0, [ATTACK.max_train_steps])
    )
    assert torch.equal(shown["another subject's protection"], seen["shown"][0])
    course = done.cells.read(
        workshop.attack_name(ATTACK, protected_name(first), first, "attack", 0, SCENARIO.stops)
    )
    assert torch.equal(shown["protected, 2x"], course["shown"][2])
    assert not torch.equal(shown["protected, 2x"], shown["unprotected, 2x"])
