"""What the protection scenario makes on the tiny model: each attack once, on the model that is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from apdm.benchmark.frozen import jobs as module
from apdm.benchmark.frozen import workshop
from apdm.benchmark.frozen.jobs import Job, jobs, protected_name, subjects_of, work
from apdm.benchmark.frozen.scenario import PLACEBOS
from apdm.benchmark.frozen.workshop import Workshop
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.ascent import Ascent
from apdm.toybox import captions
from apdm.toybox.seeds import Purpose

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion

ShopIn = Callable[[Path], Workshop]


@pytest.mark.parametrize("purpose", [Purpose.REPORTED, Purpose.TUNING])
def test_scenes_show_toys_of_the_workshops_purpose(
    purpose: Purpose,
    tmp_path: Path,
    tiny: StableDiffusion,
    shop_in: ShopIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of them: for the captions, the questions, the errors and the references. Reported unless told."""
    asked: list[Purpose] = []

    def spy(rng: np.random.Generator, whose: Purpose, *kind: Any) -> captions.Described:
        asked.append(whose)
        return scene(rng, whose, *kind)

    scene = captions.scene
    monkeypatch.setattr(captions, "scene", spy)
    monkeypatch.setattr(workshop, "scene", spy)
    shop = shop_in(tmp_path)
    if purpose is not Purpose.REPORTED:
        shop = dataclasses.replace(shop, scenes=purpose)
    shop.references()
    shop.cost(lambda: tiny, module.UNPROTECTED)
    assert set(asked) == {purpose}
    assert len(asked) >= 8 + 8 + 2 + 3


def test_no_attack_is_made_twice(stocked: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*_: Any) -> None:
        raise AssertionError("an attack was made again")

    monkeypatch.setattr(workshop, "course", made)
    for job in jobs(stocked):
        job.make()


def test_the_placebos_are_what_they_are_called(stocked: Workshop) -> None:
    first, second = subjects_of(stocked, "dog")
    names = {placebo: module.placebo_name(stocked, placebo, first) for placebo in PLACEBOS}
    assert names["another subject's protection"] == protected_name(second)
    own = stocked.works.read(f"models/{protected_name(first)}")
    for called in names.values():
        weights = stocked.works.read(f"models/{called}")
        assert any(not torch.equal(weights[key], own[key]) for key in own)


def test_ascent_goes_as_far_as_protection(
    tmp_path: Path, tiny: StableDiffusion, shop_in: ShopIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ASCENT", Ascent(learning_rate=1e-3, max_train_steps=50))
    shop = shop_in(tmp_path)
    subject = workshop.reported_toy("dog", 0)
    wanted = module.moved(tiny, module.protected_model(shop, subject))
    assert wanted <= module.moved(tiny, module.ascended_model(shop, subject)) < 3 * wanted


def test_each_attack_is_on_the_model_that_it_is_called_after(
    quick_defences,
    tmp_path: Path,
    tiny: StableDiffusion,
    shop_in: ShopIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = shop_in(tmp_path)
    attacked: list[tuple[str, list[Tensor]]] = []

    def spy(self: Workshop, attack: DreamBooth, give: Any, name: str, *_: object) -> dict[str, Tensor]:
        attacked.append((name, [weight.detach().clone() for weight in give().weights().values()]))
        return {}

    monkeypatch.setattr(Workshop, "attack", spy)
    for job in jobs(shop):
        if job.name.startswith("attack/"):
            job.make()
    assert len({name for name, _ in attacked}) == 1 + 2 + 2 + 1 + 2  # one of the published preset
    for name, weights in attacked:
        kept = tiny.weights() if name == module.UNPROTECTED else shop.works.read(f"models/{name}")
        assert all(torch.equal(a, b) for a, b in zip(weights, (kept[n] for n in tiny.weights()), strict=True))


def test_what_others_make_is_left_for_the_end(
    tmp_path: Path, shop_in: ShopIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first job's own result is in other hands, and the model that the second one needs."""
    shop, made = shop_in(tmp_path), []

    def job(name: str, needs: tuple[str, ...], and_then: Callable[[], object] = lambda: None) -> Job:
        def make() -> None:
            made.append(name)
            shop.cells.get(name, lambda: {"x": torch.ones(1)})
            and_then()

        return Job(name, needs, make)

    held, model = shop.cells.lock("first"), shop.works.lock("models/m")
    listed = [job("first", ()), job("second", ("models/m",), held.release), job("third", (), model.release)]
    monkeypatch.setattr(module, "jobs", lambda _: iter(listed))
    held.acquire()
    model.acquire()
    work(shop)
    assert made == ["third", "second", "first"]


def test_a_result_is_in_its_makers_hands_before_its_model_is_made(
    tmp_path: Path, tiny: StableDiffusion, shop_in: ShopIn
) -> None:
    """Or two processes would begin the same one, a protection each."""
    shop, hands = shop_in(tmp_path), []
    who, attack = workshop.reported_toy("dog", 0), shop.scenario.attack
    called = module.attack_name(attack, "made", who, "attack", 0, [2])

    def give(name: str) -> StableDiffusion:
        hands.append(shop.cells.busy(name))
        return tiny

    shop.attack(attack, lambda: give(called), "made", who, "attack", 0, [2])
    shop.cost(lambda: give("cost/made"), "made")
    assert hands == [True, True]


def test_while_all_is_in_other_hands_it_waits_for_any(
    tmp_path: Path, shop_in: ShopIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for the first one: the second is free before it."""
    shop, made = shop_in(tmp_path), []
    held, model = shop.cells.lock("first"), shop.works.lock("models/m")

    def job(name: str, needs: tuple[str, ...]) -> Job:
        def make() -> None:
            made.append(name)
            shop.cells.get(name, lambda: {"x": torch.ones(1)})
            held.release()

        return Job(name, needs, make)

    monkeypatch.setattr(module, "jobs", lambda _: iter([job("first", ()), job("second", ("models/m",))]))
    monkeypatch.setattr(module, "sleep", lambda _: model.release())
    held.acquire()
    model.acquire()
    work(shop)
    assert made == ["second", "first"]


def test_a_job_says_what_it_needs(stocked: Workshop) -> None:
    """All models, pictures and features that were made on the way; those that only models need aside."""
    needed = {need for job in jobs(stocked) for need in job.needs} - {"models/unprotected"}
    made = {name for name in stocked.works.names() if not name.startswith("shown/")}
    assert needed <= made
    assert made - needed <= {f"class/unprotected/dog-{stocked.protection.num_class_images}"}
    assert {name.partition("/")[0] for name in needed} == {"models", "class", "references"}


def test_what_takes_longest_comes_last_and_costs_after_the_first_seed(stocked: Workshop) -> None:
    names = [job.name for job in jobs(stocked)]
    assert set(names) == set(stocked.cells.names())
    published = [name.startswith("attack/published-") for name in names]
    assert published == sorted(published)
    assert published.count(True) == 2  # attack seeds
    first_cost = next(place for place, name in enumerate(names) if name.startswith("cost/"))
    assert {name[-2:] for name in names[:first_cost] if name.startswith("attack/")} == {"-0"}
