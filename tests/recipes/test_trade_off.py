"""The trade-off's points: in which order, and made how."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch

import trade_off
import trade_off_point
from apdm.backbones.base import Sampling
from apdm.benchmark.frozen.cells import Cells
from apdm.benchmark.frozen.workshop import Workshop, held_out_scene
from apdm.benchmark.trial import Trial, TrialSettings
from apdm.errors import InputError
from apdm.metrics.base import NetworkExtractor
from apdm.personalizers.dreambooth import DreamBooth
from apdm.pixels import from_uint8
from apdm.protectors.apdm import APDM
from apdm.toybox.seeds import Purpose
from apdm.toybox.subjects import toy_subject
from apdm.toybox.world import render
from apdm.watch import silent
from trade_off_point import Point, detached, protect_on_the_way

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion

PROTECTION = APDM(
    inner_steps=1, num_class_images=2, simulated=DreamBooth(learning_rate=1e-3), restart_every=2
)


@pytest.fixture
def shop(tmp_path: Path, tiny: StableDiffusion, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """With all that a protection asks of it."""
    dog = toy_subject(
        tmp_path / "dog", "dog", 400_001, Purpose.TUNING, {"protect": 2, "attack": 1, "held_out": 1}
    )
    sampling = Sampling(num_inference_steps=1)
    made: Any = SimpleNamespace(
        backbone=tiny,
        cells=Cells(tmp_path / "cells", {}),
        trial=Trial(tiny, TrialSettings(PROTECTION, sampling=sampling), silent),
        class_pictures=lambda *_: torch.zeros(2, 3, tiny.resolution, tiny.resolution),
    )
    monkeypatch.setattr(trade_off_point, "workshop", lambda _: made)
    monkeypatch.setattr(trade_off_point, "subject", lambda *_: dog)
    monkeypatch.setattr(trade_off_point, "PROTECTION", PROTECTION)
    return made


def test_on_the_way_a_model_is_that_of_as_many_steps(shop: Workshop) -> None:
    run: Any = SimpleNamespace(scenario=SimpleNamespace(seed=0))
    toy = "dog-400001"
    protect_on_the_way(run, toy, 1e-3, [1, 3])
    on_the_way, end = (shop.cells.read(Point(toy, 1e-3, steps).weights) for steps in (1, 3))
    (shop.cells.folder / f"{Point(toy, 1e-3, 1).weights}.safetensors").unlink()
    protect_on_the_way(run, toy, 1e-3, [1])
    protect_on_the_way(run, toy, 2e-3, [1])
    alone, faster = (shop.cells.read(Point(toy, rate, 1).weights) for rate in (1e-3, 2e-3))
    assert all(torch.equal(on_the_way[name], alone[name]) for name in alone)
    for other in (end, faster, detached(shop.backbone.weights())):
        assert any(not torch.equal(on_the_way[name], other[name]) for name in alone)


def test_where_the_end_is_there_an_earlier_stop_is_made_all_the_same(shop: Workshop) -> None:
    run: Any = SimpleNamespace(scenario=SimpleNamespace(seed=0))
    protect_on_the_way(run, "dog-400001", 1e-3, [1, 3])
    early, late = (
        shop.cells.folder / f"{Point('dog-400001', 1e-3, steps).weights}.safetensors" for steps in (1, 3)
    )
    before, since = early.read_bytes(), late.stat().st_mtime_ns
    early.unlink()
    protect_on_the_way(run, "dog-400001", 1e-3, [1, 3])
    assert early.read_bytes() == before
    assert late.stat().st_mtime_ns == since


class InThisProcess:
    """A pool that does what it is given at once, and keeps what goes wrong."""

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> InThisProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, work: Callable[..., Any], *given: Any) -> Future[Any]:
        done = Future[Any]()
        try:
            done.set_result(work(*given))
        except ValueError as error:
            done.set_exception(error)
        return done


def test_a_point_whose_weights_are_not_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When all others have their lines."""
    cells = Cells(tmp_path / "cells", {})
    cells.get("references", lambda: {"features": torch.zeros(1)})
    run: Any = SimpleNamespace(cells=lambda: cells, digest="d", commit="c")
    monkeypatch.setattr(trade_off, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(trade_off, "protect_on_the_way", lambda *_: None)
    monkeypatch.setattr(trade_off, "measure", lambda _, point: dataclasses.asdict(point))
    there, missing, results = Point("a", 0.0, 0), Point("a", 2e-4, 300), tmp_path / "lines.jsonl"
    with pytest.raises(RuntimeError, match=r"no weights were made of Point\(toy='a', .*steps=300"):
        trade_off.measure_all(run, [there, missing], results, 1)
    (line,) = map(json.loads, results.read_text().splitlines())
    assert trade_off.point_of(line) == there
    cells.get(missing.weights, lambda: {"w": torch.zeros(1)})
    trade_off.measure_all(run, [missing], results, 1)
    assert len(results.read_text().splitlines()) == 2


def test_what_goes_wrong_with_a_point_is_raised_when_all_others_have_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(_: object, point: Point) -> dict[str, object]:
        if point.toy == "wrong":
            raise ValueError("it went wrong")
        return dataclasses.asdict(point)

    cells = Cells(tmp_path / "cells", {})
    cells.get("references", lambda: {"features": torch.zeros(1)})
    run: Any = SimpleNamespace(cells=lambda: cells, digest="d", commit="c")
    monkeypatch.setattr(trade_off, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(trade_off, "measure", measure)
    wrong, right, results = Point("wrong", 0.0, 0), Point("right", 0.0, 0), tmp_path / "lines.jsonl"
    with pytest.raises(ValueError, match="it went wrong"):
        trade_off.measure_all(run, [wrong, right], results, 1)
    (line,) = map(json.loads, results.read_text().splitlines())
    assert trade_off.point_of(line) == right


@pytest.mark.parametrize("cut", [1, 20])
def test_after_a_line_that_was_cut_off_the_next_is_whole(
    cut: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its point is measured again, unless only the line's end is missing."""
    line = {**dataclasses.asdict(Point("dog-400001", 0.0, 0)), "settings": "d"}
    other, results = {**line, "toy": "cat-400000"}, tmp_path / "new" / "lines.jsonl"
    measured = list[Point]()

    def measure_all(_run: object, waiting: list[Point], results: Path, _jobs: int) -> None:
        measured.extend(waiting)
        trade_off.append(results, [{**dataclasses.asdict(point), "settings": "d"} for point in waiting])

    monkeypatch.setattr(trade_off, "measure_all", measure_all)
    monkeypatch.setattr(trade_off, "settings", lambda _: SimpleNamespace(digest="d"))
    monkeypatch.setattr(trade_off, "points", lambda _: [trade_off.point_of(it) for it in (line, other)])
    monkeypatch.setattr(sys, "argv", ["recipe", "--results", str(results)])
    trade_off.main()
    results.write_text("".join(f"{json.dumps(it)}\n" for it in (line, other))[:-cut])
    measured.clear()
    capsys.readouterr()
    trade_off.main()
    assert [it.toy for it in measured] == ([] if cut == 1 else ["cat-400000"])
    assert [json.loads(it) for it in results.read_text().splitlines()] == [line, other]
    assert results.read_text().endswith("\n")
    said = "" if cut == 1 else f"{results}, line 2 was cut off: it is left out\n"
    assert capsys.readouterr().err == said


@dataclasses.dataclass
class Model:
    """Of one weight that says which it is, and one that nothing moves."""

    weight: float
    device = torch.device("cpu")

    def weights(self) -> dict[str, torch.Tensor]:
        return {"w": torch.tensor([self.weight, 0.0])}

    def copy_with(self, weights: dict[str, torch.Tensor]) -> Model:
        return Model(float(weights["w"][0]))


def test_a_line_is_of_its_points_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own weights, rounded if it is, under a name of their own: or it would be another's results."""
    cells, seen = Cells(tmp_path, {}), set[tuple[object, ...]]()
    weak, strong = (DreamBooth(learning_rate=size, max_train_steps=size) for size in (1, 2))

    def attacked(attack: DreamBooth, give: Callable[[], Model], name: str, *more: Any) -> Any:
        _, photos, seed, stops = more
        seen.add((name, photos, *stops))
        return {"likeness": (give().weights()["w"][:1] + attack.learning_rate + 10 * seed)[None]}

    def cost(give: Callable[[], Model], name: str) -> Any:
        seen.add((name,))
        return {"fid": give().weights()["w"][:1], "error": torch.ones(3), "right": torch.eye(2)[:1]}

    shop: Any = SimpleNamespace(
        backbone=Model(1.0),
        cells=cells,
        attack=attacked,
        cost=cost,
        class_likeness=lambda _: torch.tensor([0.2]),
    )
    monkeypatch.setattr(trade_off_point, "workshop", lambda _: shop)
    monkeypatch.setattr(trade_off_point, "subject", lambda *_: None)
    run: Any = SimpleNamespace(scenario=SimpleNamespace(attack=strong, attack_seeds=(0, 1)), demo=weak)
    point = Point("dog-400001", 2e-4, 300)
    cells.get(point.weights, lambda: Model(1.005).weights())

    lines: list[Any] = [
        trade_off_point.measure(run, it)
        for it in (Point("dog-400001", 0.0, 0), point, dataclasses.replace(point, rounding="bf16"))
    ]
    name = "dog-400001-0.0002-300"
    weights = {"unprotected": 1.0, name: 1.005, f"{name}-bf16": 1.0078}  # bfloat16's nearest
    for line, weight in zip(lines, weights.values(), strict=True):
        found = {attack: np.array(line["likeness"][attack]) for attack in ("frozen", "demo")}
        assert found["frozen"] == pytest.approx(np.array([[2 + weight], [12 + weight]]))
        assert found["demo"] == pytest.approx(np.array([[1 + weight], [11 + weight]]))
        assert line["fid"] == weight
    assert seen == {it for name in weights for it in ((name,), (name, "attack", 1), (name, "attack", 2))}
    assert [it["vanished"] for it in lines] == [None, None, 0.5]
    assert (lines[0]["class_accuracy"], lines[0]["colour_accuracy"]) == (1, 0)


def test_a_point_waits_for_its_weights(tmp_path: Path) -> None:
    cells, point = Cells(tmp_path, {}), Point("cat-400000", 2e-4, 300, "bf16")
    assert not Point("cat-400000", 0.0, 0, "bf16").waits(cells)
    assert point.waits(cells)
    cells.get("models/cat-400000-0.0002-300", lambda: {"w": torch.ones(1)})
    assert not point.waits(cells)


def test_the_unprotected_model_comes_first_and_roundings_last() -> None:
    args = argparse.Namespace(toys=("a", "b"), rates=[2e-4, 1e-4], steps=[150, 300], rounding=True)
    found = trade_off.points(args)
    assert found[:3] == [Point("a", 0.0, 0), Point("b", 0.0, 0), Point("a", 2e-4, 150)]
    assert [it.learning_rate for it in found[2:10]] == [2e-4] * 4 + [1e-4] * 4
    rounded = found[10:]
    assert {(it.toy, it.learning_rate, it.steps) for it in rounded} == {
        ("a", 2e-4, 300),
        ("b", 2e-4, 300),
        ("a", 0.0, 0),
        ("b", 0.0, 0),
        ("a", 5e-6, 16),
    }
    assert len(rounded) == 5 * 3
    assert all(it.rounding for it in rounded)
    assert len(set(found)) == len(found)


def test_results_of_other_code_are_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where git is not there to say it, it is told."""
    args = argparse.Namespace(
        attack_seeds=[0],
        fid_images=8,
        sample_batch_size=8,
        tiny=False,
        device="cpu",
        work_dir=tmp_path,
        commit=None,
    )
    runs = []
    for commit, dirty in (("0123456789abcdef", False), ("0123456789abcdef", True)):
        monkeypatch.setattr(trade_off, "code", lambda commit=commit, dirty=dirty: (commit, dirty))
        runs.append(trade_off.settings(args))
    args.commit = "told"
    runs.append(trade_off.settings(args))
    said = ["0123456789ab", "0123456789ab with uncommitted changes", "told"]
    assert [it.about["code"] for it in runs] == said
    assert len({it.digest for it in runs}) == 3
    runs[0].cells().get("one", lambda: {"x": torch.ones(1)})
    with pytest.raises(InputError, match="holds results of other settings"):
        runs[1].cells()


def test_scenes_show_tuning_toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or nothing might be chosen by what is measured on them."""
    for name in ("load", "Reader"):
        monkeypatch.setattr(trade_off_point, name, lambda *_: None)
    network = torch.nn.Linear(1, 1)
    eye = Mock(NetworkExtractor, network=network, side_effect=lambda renders: renders.mean((1, 2, 3)))
    monkeypatch.setattr(trade_off_point, "judge", lambda _: eye)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # put back at the end
    sampling, scenario = Sampling(), trade_off.SCENARIO
    run = trade_off_point.Run(scenario, scenario.attack, sampling, "cpu", tmp_path, "c")
    shop = trade_off_point.workshop(run)
    assert shop.scenes is Purpose.TUNING
    renders = [render(held_out_scene(index, Purpose.TUNING).scene) for index in (2, 3)]
    expected = from_uint8(np.stack(renders)).mean((1, 2, 3)).numpy()
    assert trade_off_point.reference_features(run, range(2, 4)).tolist() == expected.tolist()


def test_a_line_says_which_point_it_is_of() -> None:
    point = Point("dog-400001", 4e-4, 75, "int8")
    assert trade_off.point_of({**dataclasses.asdict(point), "fid": 3.0}) == point
