"""Cells on the tiny model with made-up methods: each made once, of the right works."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from apdm.benchmark.tables import runner as runner_module
from apdm.benchmark.tables.cell import Cell
from apdm.benchmark.tables.outcome import read_outcome, record_path
from apdm.benchmark.tables.plan import Plan
from apdm.benchmark.tables.runner import Runner
from apdm.personalizers.base import personalize
from apdm.pixels import load

PlanOf = Callable[..., Plan]
RunnerIn = Callable[..., Runner]


def first(plan: Plan, label: str) -> Cell:
    return plan.rows[label]["dog"][0][0]


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {"folder": tmp_path_factory.mktemp("bench") / "run"}


@pytest.fixture
def done(
    once: dict[str, Any], plan_of: PlanOf, runner_in: RunnerIn, calls: list[str], tmp_path: Path
) -> Path:
    """A copy of a folder in which all cells have been made; `calls` are those of their making."""
    if "calls" not in once:
        assert runner_in(once["folder"]).run(plan_of().cells()) == {}
        once["calls"] = list(calls)
    calls[:] = once["calls"]
    shutil.copytree(once["folder"], tmp_path / "run")
    return tmp_path / "run"


def test_every_cell_is_made_once_and_shared_work_once(
    done: Path, plan_of: PlanOf, runner_in: RunnerIn, calls: list[str]
) -> None:
    cells = plan_of().cells()
    assert len(cells) == 4 * 2 * 2  # rows, subjects, seeds
    # A cloak and a protection a subject; an attack a cell, the controls' being those of the first row.
    assert [calls.count(name) for name in ("cloak", "protect", "attack")] == [2, 2, 16]
    made = {path: path.stat().st_mtime_ns for path in done.rglob("*.json")}
    assert len([path for path in made if path.parent.name == "records"]) == 16
    calls.clear()
    assert runner_in(done).run(cells) == {}
    assert calls == []
    assert {path: path.stat().st_mtime_ns for path in done.rglob("*.json")} == made


def test_class_images_are_drawn_by_the_model_under_attack_once_a_model(done: Path) -> None:
    abouts = [json.loads(path.read_text())["about"] for path in done.glob("works/class-images/*/made.json")]
    models = [about["model"] for about in abouts]
    assert len(models) == 3  # the unprotected one, and one protected for each subject
    assert sum(isinstance(model, str) for model in models) == 1


def test_a_record_tells_everything(done: Path, plan_of: PlanOf) -> None:
    cell = first(plan_of(), "model")
    outcome = read_outcome(done, cell.digest)
    assert outcome is not None
    assert outcome.cell["protector"] == {
        "kind": "Chosen",
        "name": "shifted",
        "settings": {"kind": "Shift", "by": 0.02},
    }
    assert (outcome.cell["seed"], outcome.cell["setup_seed"], outcome.cell["subject"]) == (0, 0, "dog-450000")
    assert set(outcome.works.values()) == {
        "subject",
        "photos",
        "class-images",
        "protect shifted",
        "attack once",
    }
    assert outcome.wall_time > 0
    assert outcome.peak_memory is None or outcome.peak_memory > 10**7
    assert outcome.provenance[0].versions["torch"] == torch.__version__
    assert len(list((done / outcome.pictures).glob("*.png"))) == 2
    assert len(list((done / outcome.photos).glob("*.png"))) == 3
    assert outcome.control_pictures != outcome.pictures
    assert outcome.control["similarity"].values != outcome.measured["similarity"].values
    assert outcome.measured["similarity"].extractor == "mean-colours"


def test_similarity_is_to_held_out_photos(
    done: Path, plan_of: PlanOf, runner_in: RunnerIn, mean_colours: Any
) -> None:
    cell, runner = first(plan_of(), "attack"), runner_in(done)
    outcome = runner.finish(cell)
    held_out = runner.subject(cell.subject).pixels("held_out", 16)
    pictures = load(sorted((done / outcome.pictures).glob("*.png")), 16)
    cosines = torch.nn.functional.cosine_similarity(
        mean_colours(pictures)[:, None], mean_colours(held_out)[None], dim=2
    )
    assert outcome.measured["similarity"].values == pytest.approx(cosines.mean(1).tolist(), abs=1e-5)


def test_the_attacker_finds_so_many_clean_photos_and_the_rest_cloaked(
    tmp_path: Path, plan_of: PlanOf, runner_in: RunnerIn
) -> None:
    runner = runner_in(tmp_path)
    cell = first(plan_of(), "cloak, N-1 clean")
    own = load(sorted(runner.own_photos(cell).glob("*.png")), 16)
    found = load(runner.trained_on(cell), 16)
    assert torch.equal(found[:2], own[:2])
    assert torch.allclose(found[2], (own[2] - 0.5).clamp(-1, 1), atol=1 / 255)


def test_all_that_the_attacker_has_is_purified(tmp_path: Path, plan_of: PlanOf, runner_in: RunnerIn) -> None:
    plan = plan_of(('clean = "N-1"', 'clean = "N-1"\npurifier = "inverted"'))
    runner, cell = runner_in(tmp_path), first(plan, "cloak, N-1 clean")
    found, purified = load(runner.found(cell), 16), load(runner.trained_on(cell), 16)
    assert torch.allclose(purified, -found, atol=1e-6)


def test_a_cloak_has_the_other_photos_of_the_subject_as_clean_ones(
    tmp_path: Path, plan_of: PlanOf, runner_in: RunnerIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    runner, cell = runner_in(tmp_path), first(plan_of(), "cloak, 0 clean")
    original = runner_module.CloakMaterial

    def spy(*arguments: Any) -> Any:
        seen.append(original(*arguments))
        return seen[-1]

    monkeypatch.setattr(runner_module, "CloakMaterial", spy)
    runner.found(cell)
    alone = first(plan_of(("clean = 0", "clean = 0\nsettings.cloak = { learns = false }")), "cloak, 0 clean")
    runner.found(alone)
    assert seen.pop().prior is None  # nobody learns from class images
    subject = runner.subject(cell.subject)
    assert torch.equal(seen[0].pixels, subject.pixels("protect", 16))
    assert torch.equal(seen[0].clean, subject.pixels("attack", 16))
    assert len(seen[0].prior) == 2
    assert (seen[0].instance_prompt, seen[0].class_prompt) == ("a photo of sks dog", "a photo of dog")


def test_the_protected_model_is_attacked_with_the_attackers_words(
    tmp_path: Path, plan_of: PlanOf, runner_in: RunnerIn, monkeypatch: pytest.MonkeyPatch, tiny: Any
) -> None:
    plan = plan_of(
        ('protector = "shifted"', 'protector = "shifted"\nidentifier = "zwx"\nclass_noun = { dog = "cat" }')
    )
    attacked: list[Any] = []

    def spy(model: Any, personalizer: Any, material: Any, seed: int, watch: Any) -> Any:
        attacked.append((next(model.network.parameters()).clone(), material, seed))
        return personalize(model, personalizer, material, seed, watch)

    monkeypatch.setattr(runner_module, "personalize", spy)
    runner, cell = runner_in(tmp_path), plan.rows["model"]["dog"][0][1]
    runner.attacked(cell)
    weight, material, seed = attacked[0]
    assert torch.allclose(weight, next(tiny.network.parameters()) + 0.02)
    assert seed == 1
    words = tiny.encode_prompts(["a photo of zwx cat", "a photo of cat"]).parts["text"]
    assert torch.equal(material.instance.condition.parts["text"], words[:1])
    assert torch.equal(material.prior.condition.parts["text"], words[1:])
    assert cell.prompts == ("a photo of zwx cat", "a portrait of zwx cat")
    assert cell.control.prompts == cell.prompts


def test_without_an_attack_the_model_is_asked_as_it_is(
    tmp_path: Path, plan_of: PlanOf, runner_in: RunnerIn, calls: list[str]
) -> None:
    plan = plan_of(('personalizer = "once"', 'personalizer = "none"'))
    runs = plan.rows["attack"]["dog"][0]
    runner_in(tmp_path).run(runs)
    assert calls == []
    assert len(list(tmp_path.glob("works/attack/*"))) == 1  # no draws, so both seeds have the same pictures


def test_what_goes_wrong_stops_only_its_cells_and_is_tried_once(
    tmp_path: Path, plan_of: PlanOf, runner_in: RunnerIn, calls: list[str]
) -> None:
    plan = plan_of(('cloak = "darker"', 'cloak = "darker"\nsettings.cloak = { by = 2.0 }'))
    cells = [
        runs[seed]
        for label in ("cloak, 0 clean", "attack")
        for runs in plan.rows[label]["dog"][:1]
        for seed in (0, 1)
    ]
    wrong = runner_in(tmp_path).run(cells)
    assert list(wrong) == [cell.digest for cell in cells[:2]]
    assert {str(error) for error in wrong.values()} == {"that is too dark: give less"}
    assert len(list((tmp_path / "records").glob("*.json"))) == 2
    assert calls.count("cloak") == 1


def test_a_damaged_record_is_named_and_the_others_are_kept(
    done: Path, plan_of: PlanOf, runner_in: RunnerIn, calls: list[str]
) -> None:
    cells = plan_of().cells()
    path = record_path(done, cells[0].digest)
    path.write_text(path.read_text()[:100])
    calls.clear()
    wrong = runner_in(done).run(cells)
    assert list(wrong) == [cells[0].digest]
    assert str(path) in str(wrong[cells[0].digest])
    path.unlink()
    assert runner_in(done).run(cells) == {}
    assert calls == []  # its works were there


def test_what_another_process_makes_is_left_to_it(
    tmp_path: Path, plan_of: PlanOf, runner_in: RunnerIn, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    plan, other = plan_of(), runner_in(tmp_path)
    cells = [first(plan, "model"), first(plan, "cloak, 0 clean")]
    protected = cells[0].protected
    assert protected is not None
    slept: list[int] = []

    def sleep(seconds: float) -> None:
        slept.append(calls.count("cloak"))
        if len(slept) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(runner_module.time, "sleep", sleep)
    with other.works.lock(protected.digest), pytest.raises(KeyboardInterrupt):
        runner_in(tmp_path).run(cells)
    assert slept == [1, 1]  # the other cell was made before it waited
    assert calls.count("protect") == 0
    assert runner_in(tmp_path).run(cells) == {}
    assert calls.count("protect") == 1


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import conftest as fakes
from apdm.backbones.tiny import tiny_stable_diffusion
from apdm.benchmark.tables.runner import Runner, Tools
from apdm.benchmark.tables import runner
from apdm.benchmark.tables.grid import read_grid, read_size
from apdm.benchmark.tables.plan import planned

class Judge:
    name, fingerprint, dim = "judge", "0", 3
    def __call__(self, pixels):
        return pixels.mean((2, 3))

real, count = runner.personalize, 0
def slow(*arguments):
    global count
    count += 1
    if count == 3:
        print("in the middle", flush=True)
        time.sleep(600)
    return real(*arguments)
runner.personalize = slow
path = Path({scenario!r})
grid = read_grid(path)
plan = planned(grid, "toy", read_size(path, grid, "toy"), fakes.METHODS, None)
model = tiny_stable_diffusion()
Runner(Path({folder!r}), "cpu", Tools(fakes.METHODS, lambda *_: model, lambda _: Judge())).run(plan.cells())
"""


def test_a_killed_worker_loses_no_finished_cell(
    tmp_path: Path, plan_of: PlanOf, runner_in: RunnerIn, calls: list[str]
) -> None:
    plan, folder = plan_of(), tmp_path / "run"
    code = KILLED.format(
        tests=str(Path(__file__).parents[1]),
        scenario=str(tmp_path / "scenarios" / "small.toml"),
        folder=str(folder),
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "in the middle\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = {path: path.read_bytes() for path in (folder / "records").glob("*.json")}
    assert len(finished) == 2
    started = time.monotonic()
    assert runner_in(folder).run(plan.cells()) == {}
    assert time.monotonic() - started < 60  # nobody waits for the dead
    assert calls.count("attack") == 16 - 2
    assert {path: path.read_bytes() for path in finished} == finished
    assert not list(folder.rglob("*.part"))
