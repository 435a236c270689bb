"""The protection scenario's figures and pictures: what they rest on, and that they make nothing anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from apdm.benchmark.frozen import workshop
from apdm.benchmark.frozen.cells import Cells
from apdm.benchmark.frozen.figures import (
    Look,
    attack_pictures,
    class_pictures,
    figures,
    likeness,
    lowest,
    rate_cells,
)
from apdm.benchmark.frozen.jobs import (
    FIRST_ONLY,
    UNPROTECTED,
    pairs_of,
    placebo_name,
    protected_name,
    subjects_of,
)
from apdm.benchmark.frozen.scenario import PLACEBOS
from apdm.benchmark.frozen.workshop import Workshop
from apdm.benchmark.record import Figure

Found = dict[str, Figure | dict[str, Figure]]


@pytest.fixture(scope="module", autouse=True)
def attacks_gain() -> Iterator[None]:
    """A rate is of what an attack gains, on the tiny model nothing: the class is made less alike."""
    measured = Workshop.class_likeness
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workshop, "class_likeness", lambda shop, who: measured(shop, who) - 1)
        yield


@pytest.fixture(scope="module")
def found(stocked: Workshop) -> Found:
    return figures(stocked)


def look_at(shop: Workshop, step: int) -> Look:
    """One on the way of the scenario's attack."""
    return Look(shop.scenario.attack, shop.scenario.stops, step)


def test_every_figure_is_there_with_its_n(found: Found) -> None:
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


def test_a_rate_is_the_one_of_its_cells(stocked: Workshop, found: Found) -> None:
    cells = rate_cells(stocked, protected_name, look_at(stocked, 2))
    means = {
        name: np.mean([np.mean([np.mean(images) for images in subject]) for subject in cell])
        for name, cell in cells.items()
    }
    gained = means["unprotected"] - means["class"]
    rate = cast(Figure, found["protection_rate_1x"]).value
    assert rate == pytest.approx((means["unprotected"] - means["protected"]) / gained, rel=1e-4)


def test_the_headline_is_the_lowest_rate_from_the_attacks_own_length_on(found: Found) -> None:
    rates = [cast(Figure, found[f"protection_rate_{multiple}"]).value for multiple in ("1x", "2x")]
    assert cast(Figure, found["headline"]).value == min(rates)


def test_an_undefined_rate_leaves_the_headline_undefined() -> None:
    low, high, none = (Figure(value, value, value, 8) for value in (0.1, 0.2, math.nan))
    for rates in ([high, low], [low, high]):
        assert lowest(rates) is low
    for rates in ([none, low], [low, none]):
        assert lowest(rates) is none


def test_likeness_along_the_attack_is_the_mean_of_its_pictures(stocked: Workshop, found: Found) -> None:
    names = {"unprotected": lambda _: UNPROTECTED, "protected": protected_name}
    for model, named in names.items():
        along = cast("dict[str, Figure]", found[f"likeness_{model}"])
        assert list(along) == ["1", "2", "4"]
        look = look_at(stocked, 4)
        runs = [likeness(stocked, named(who), who, look) for who in subjects_of(stocked, "dog")]
        assert along["4"].value == pytest.approx(np.mean(runs), abs=1e-6)
        assert along["4"].n == 2 * 2 * 2


def test_each_subject_has_a_rate_of_its_own(stocked: Workshop, found: Found) -> None:
    rates = cast("dict[str, Figure]", found["protection_rate_1x_by_subject"])
    first, second = subjects_of(stocked, "dog")
    assert list(rates) == [first.name, second.name]
    cells = rate_cells(stocked, protected_name, look_at(stocked, 2))
    for place, rate in enumerate(rates.values()):
        was, now, of_class = (
            np.mean([np.mean(run) for run in cells[key][place]])
            for key in ("unprotected", "protected", "class")
        )
        assert rate.value == pytest.approx((was - now) / (was - of_class), rel=1e-4)


def test_the_pictures_are_those_of_the_seed(stocked: Workshop) -> None:
    pair, other = pairs_of(stocked)[:2]
    first, second = pair.subject, other.subject
    attack = stocked.scenario.attack
    shown = attack_pictures(stocked, pair, 1)
    assert len(shown) == 2 * 3 + 2 + len(PLACEBOS) + 2
    assert list(class_pictures(stocked, first)) == ["class, unprotected", "class, protected"]
    assert "published preset" not in attack_pictures(stocked, other, 0)

    def seen(model: str, stops: Sequence[int]) -> torch.Tensor:
        called = workshop.attack_name(attack, model, first, "attack", 1, stops)
        return stocked.works.read(workshop.shown_name(called))["pictures"]

    end = [attack.max_train_steps]
    assert torch.equal(shown["another subject's protection"], seen(protected_name(second), end)[0])
    assert torch.equal(shown["protected, 2x"], seen(protected_name(first), stocked.scenario.stops)[2])
    assert not torch.equal(shown["protected, 2x"], shown["unprotected, 2x"])


@pytest.mark.parametrize(("number", "missing"), [(0, set()), (1, FIRST_ONLY)])
def test_what_only_the_first_subject_has_is_asked_of_no_other(
    number: int,
    missing: set[str],
    shop_in: Callable[[Path], Workshop],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop, asked = shop_in(tmp_path), set()

    def read(cells: Cells, name: str) -> dict[str, torch.Tensor]:
        asked.update(name.split("/"))
        return {"pictures": torch.zeros(9)}

    monkeypatch.setattr(Cells, "read", read)
    monkeypatch.setattr(Cells, "__contains__", lambda *_: True)
    pair = pairs_of(shop)[number]
    shown = attack_pictures(shop, pair, 0)
    assert {it for it in PLACEBOS if placebo_name(shop, it, pair.subject) in asked} == {*PLACEBOS} - missing
    assert {*PLACEBOS} & {*shown} == {*PLACEBOS} - missing


def test_the_figures_make_no_attack(stocked: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*_: Any) -> None:
        raise AssertionError("an attack was made again")

    monkeypatch.setattr(workshop, "course", made)
    figures(stocked)
