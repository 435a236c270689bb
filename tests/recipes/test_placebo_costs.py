"""What placebos cost: whose, measured of which models, and told how."""

from __future__ import annotations

import json
import sys
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from safetensors.torch import load_file

import placebo_costs
from apdm.backbones.base import Sampling
from apdm.benchmark.frozen.scenario import Scenario, read_scenario
from apdm.benchmark.frozen.workshop import Workshop
from apdm.benchmark.record import Figure
from apdm.cli import frozen
from apdm.protectors.apdm import APDM

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion

PROTECTION = APDM(learning_rate=1e-3, outer_steps=1, inner_steps=1, num_class_images=2)
FEW = {"reference_renders": 8, "captioned_images": 8, "asked_images": 2, "error_scenes": 3}


class Here:
    """An executor that does everything at once, in this process."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, work: Any, *arguments: Any) -> Future[None]:
        done = Future[None]()
        done.set_result(work(*arguments))
        return done


@pytest.fixture
def scenario() -> Scenario:
    """The frozen evaluation's own, of few pictures."""
    return replace(read_scenario(placebo_costs.SCENARIO), class_images=2, images_per_prompt=1, **FEW)


@pytest.fixture
def measured(
    monkeypatch: pytest.MonkeyPatch, tiny: StableDiffusion, mean_colours, scenario: Scenario
) -> list[str]:
    """The names of the models that are measured, on the tiny model."""
    names: list[str] = []
    cost = Workshop.cost

    def noted(shop: Workshop, give: Any, name: str) -> Any:
        names.append(name)
        return cost(shop, give, name)

    monkeypatch.setattr(Workshop, "cost", noted)
    monkeypatch.setattr(placebo_costs, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(placebo_costs, "read_scenario", lambda _: scenario)
    monkeypatch.setattr(frozen, "load", lambda *_: tiny)
    monkeypatch.setattr(frozen, "judge", lambda _: mean_colours)
    monkeypatch.setattr(
        frozen, "Reader", lambda _: lambda some: [{"class": "dog", "colour": "red"}] * len(some)
    )
    monkeypatch.setattr(frozen.presets, "PROTECTION", PROTECTION)
    monkeypatch.setattr(frozen.presets, "SAMPLING", Sampling(num_inference_steps=1))
    return names


def test_a_placebo_may_name_its_classes(scenario: Scenario) -> None:
    asked = placebo_costs.asked_of(["no DPO", "naive ascent:cat"], scenario)
    assert asked == {"no DPO": ("dog", "cat", "person"), "naive ascent": ("cat",)}
    twice = placebo_costs.asked_of(["no DPO:dog", "no DPO:cat,dog"], scenario)
    assert twice == {"no DPO": ("dog", "cat")}


@pytest.mark.parametrize("word", ["ascent", "no DPO:horse", "no DPO:dog,horse"])
def test_one_that_the_scenario_has_not_is_refused(word: str, scenario: Scenario) -> None:
    with pytest.raises(ValueError, match=f"'{word}' is not among"):
        placebo_costs.asked_of([word], scenario)


def test_each_placebos_models_are_compared_with_the_unprotected_one(
    tmp_path: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["recipe", "no DPO:dog,cat", "naive ascent:cat"]
    monkeypatch.setattr(sys, "argv", [*words, "--work_dir", str(tmp_path / "run")])
    sheets: list[Any] = []
    monkeypatch.setattr(placebo_costs, "write_strips", lambda shown, _: sheets.extend(shown))
    placebo_costs.main()
    assert measured == ["unprotected", "no-dpo-dog-450000", "no-dpo-cat-450000", "ascent-cat-450000"]
    written = json.loads((tmp_path / "run" / "placebo-costs.json").read_text())
    assert written["subjects"] == {"no DPO": ["dog", "cat"], "naive ascent": ["cat"]}
    assert {"commit", "dirty", "device", "versions"} <= set(written)
    for placebo, models in (("no DPO", 2), ("naive ascent", 1)):
        assert written[placebo]["caption_error_ratio"]["n"] == 3 * models
    errors = {
        name: load_file(tmp_path / "run" / "cells" / "cost" / f"{name}.safetensors")["error"].mean()
        for name in ("unprotected", "ascent-cat-450000")
    }
    ratio = float(errors["ascent-cat-450000"] / errors["unprotected"])
    assert written["naive ascent"]["caption_error_ratio"]["value"] == pytest.approx(ratio, rel=1e-5)
    table = (tmp_path / "run" / "placebo-costs.md").read_text().splitlines()
    several, one = (written[placebo]["fid_ratio"] for placebo in ("no DPO", "naive ascent"))
    assert f"| no DPO | dog, cat | {several['value']:.3f} ({several['low']:.3f} to " in table[2]
    assert table[3].startswith(f"| naive ascent | cat | {one['value']:.3f} | ")
    assert len({line.count("|") for line in table}) == 1
    (shown,) = sheets
    assert [strip.heading for strip in shown.strips] == [
        it.replace("-", " ") for it in (*measured, "protected-cat-450000")
    ]
    assert {len(strip.pictures) for strip in shown.strips} == {len(placebo_costs.SHOWN)}


def test_the_committed_record_gives_the_committed_table() -> None:
    results = Path(__file__).parents[2] / "docs" / "results"
    record = json.loads((results / "placebo-costs.json").read_text())
    found = {
        placebo: {name: Figure(**it) for name, it in record[placebo].items()}
        for placebo in record["subjects"]
    }
    assert placebo_costs.table(found, record["subjects"]) == (results / "placebo-costs.md").read_text()
