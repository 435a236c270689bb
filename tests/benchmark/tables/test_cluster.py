"""Cells on Ray: what is handed out when, what becomes of lost workers. Most of it by a made-up Ray, which
runs a task when it is waited for; the last tests need the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from apdm.benchmark.tables import cluster
from apdm.benchmark.tables.cell import Cell
from apdm.benchmark.tables.cluster import Cluster, Job, make_on_ray, startable
from apdm.benchmark.tables.outcome import record_path
from apdm.benchmark.tables.plan import Plan
from apdm.benchmark.tables.runner import Runner
from apdm.benchmark.tables.works import Work, Works
from apdm.errors import InputError
from apdm.watch import silent

PlanOf = Callable[..., Plan]
RunnerIn = Callable[..., Runner]


class RayError(Exception):
    pass


class RayTaskError(RayError):
    pass


class WorkerCrashedError(RayError):
    pass


class MadeUpRay:
    """`work` stands for what a worker does with a cell."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, work: Callable[[Cell], Any]) -> None:
        self.work = work
        self.options: dict[str, Any] = {}
        self.given: dict[int, tuple[Any, ...]] = {}
        self.running: list[list[Cell]] = []  # at each look
        self.over = False

    def remote(self, **options: Any) -> Callable[..., Any]:
        self.options = options
        return lambda function: SimpleNamespace(remote=self._submit)

    def _submit(self, *given: Any) -> int:
        self.given[len(self.given)] = given
        return len(self.given) - 1

    def wait(self, references: list[int], timeout: float) -> tuple[list[int], list[int]]:
        self.running.append([self.given[it][0] for it in references])
        return references[:1], references[1:]

    def get(self, reference: int) -> Any:
        return self.work(self.given[reference][0])

    def shutdown(self) -> None:
        self.over = True


@pytest.fixture
def ray(tmp_path: Path, runner_in: RunnerIn, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> MadeUpRay:
    def work(cell: Cell) -> Any:
        runner = runner_in(tmp_path / "run")
        return runner.run([cell]), runner.works.failed

    made_up = MadeUpRay(work)
    monkeypatch.setattr(cluster, "started", lambda cluster: made_up)
    return made_up


def test_every_cell_is_made_by_a_task_that_never_waits_for_another(
    tmp_path: Path, plan_of: PlanOf, ray: MadeUpRay, calls: list[str], heard: Any
) -> None:
    cells, folder = plan_of().cells(), tmp_path / "run"
    works, work = Works(folder, torch.device("cpu")), ray.work

    def checked(cell: Cell) -> Any:
        running = ray.running[-1]
        lacking = [{it.digest for it in other.works if not works.there(it)} for other in running]
        assert len(set().union(*lacking)) == sum(map(len, lacking))
        return work(cell)

    ray.work = checked
    assert make_on_ray(cells, folder, heard, Cluster("cuda", num_gpus=0.5, retries=2)) == {}
    assert ray.options == {"num_gpus": 0.5, "max_retries": 2}
    assert [len(ray.given), calls.count("protect"), calls.count("attack")] == [16, 2, 16]
    assert all(record_path(folder, cell.digest).exists() for cell in cells)
    assert {given[1:] for given in ray.given.values()} == {(folder, "cuda", Path.cwd())}
    assert [len(cells) for cells in ray.running[:2]] == [1, 4]  # the first draws what the whole class wants
    assert [heard.steps[place] for place in (0, -1)] == [("cells", 0, 16), ("cells", 16, 16)]
    assert ray.over
    assert make_on_ray(cells, folder, silent, Cluster("cuda")) == {}
    assert len(ray.given) == 16  # none again


def job(name: str, *lacking: str) -> Job:
    works = {it: Work("x", "", {}) for it in lacking}
    return Job(name, name, works)  # type: ignore[arg-type]


def test_no_two_that_lack_the_same_run_at_a_time() -> None:
    waiting = [job("a", "1", "2"), job("b", "2"), job("c", "3"), job("d"), job("e", "4")]
    assert [it.digest for it in startable(waiting, [job("f", "4")])] == ["a", "c", "d"]


def test_what_could_not_be_made_is_not_tried_by_the_next_cell(
    tmp_path: Path, plan_of: PlanOf, ray: MadeUpRay, calls: list[str]
) -> None:
    plan = plan_of(('cloak = "darker"', 'cloak = "darker"\nsettings.cloak = { by = 2.0 }'))
    dark = {cell.digest for runs in plan.rows["cloak, 0 clean"]["dog"] for cell in runs}
    cells = [cell for cell in plan.cells() if cell.digest in dark]
    wrong = make_on_ray(cells, tmp_path / "run", silent, Cluster("cpu"))
    assert wrong.keys() == dark
    assert {str(error) for error in wrong.values()} == {"that is too dark: give less"}
    assert calls.count("cloak") == 2  # a subject, of two seeds


def test_a_lost_worker_costs_its_cell_alone_and_is_named(
    tmp_path: Path, plan_of: PlanOf, ray: MadeUpRay
) -> None:
    cells, work = plan_of().cells()[:4], ray.work

    def dies(cell: Cell) -> Any:
        if cell.digest == cells[2].digest:
            raise WorkerCrashedError
        return work(cell)

    ray.work = dies
    wrong = make_on_ray(cells, tmp_path / "run", silent, Cluster("cpu", retries=1))
    assert {digest: str(error) for digest, error in wrong.items()} == {
        cells[2].digest: "the worker of a cell was lost 2 times (WorkerCrashedError): is there memory enough?"
    }
    assert len(list((tmp_path / "run" / "records").iterdir())) == 3


def test_an_error_of_ours_is_raised_once_the_others_are_done(
    tmp_path: Path, plan_of: PlanOf, ray: MadeUpRay
) -> None:
    cells, work = plan_of().cells()[:4], ray.work

    def breaks(cell: Cell) -> Any:
        if cell.digest == cells[0].digest:
            raise RayTaskError("by zero")
        return work(cell)

    ray.work = breaks
    with pytest.raises(RayTaskError, match="by zero"):
        make_on_ray(cells, tmp_path / "run", silent, Cluster("cpu"))
    assert len(list((tmp_path / "run" / "records").iterdir())) == 3
    assert ray.over


def test_a_damaged_record_is_wrong_and_no_task(tmp_path: Path, plan_of: PlanOf, ray: MadeUpRay) -> None:
    cells = plan_of().cells()[:2]
    path = record_path(tmp_path / "run", cells[0].digest)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    wrong = make_on_ray(cells, tmp_path / "run", silent, Cluster("cpu"))
    assert list(wrong) == [cells[0].digest]
    assert "is not JSON" in str(wrong[cells[0].digest])
    assert len(ray.given) == 1


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"Ray is not installed: pip install 'apdm\[cluster\]'"):
        cluster.started(Cluster("cpu"))


@pytest.mark.parametrize("settings", [{"num_gpus": -1}, {"retries": -1}])
def test_settings_without_meaning_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="is -1: give 0 or more"):
        Cluster("cpu", **settings)


def test_gpus_of_a_cell_are_whole_or_a_part_of_one() -> None:
    for number in (0, 0.25, 1, 2.0):
        Cluster("cuda", num_gpus=number)
    with pytest.raises(InputError, match=r"num_gpus is 1\.5: above 1 give a whole number"):
        Cluster("cuda", num_gpus=1.5)


class Connected:
    """Ray with machines of so many GPUs; the last is gone."""

    def __init__(self, *gpus: float, error: Exception | None = None) -> None:
        self.gpus, self.error, self.over = gpus, error, False

    def init(self, **settings: Any) -> None:
        if self.error:
            raise self.error

    def nodes(self) -> list[dict[str, Any]]:
        there = [{"Alive": True, "Resources": {"CPU": 2, "GPU": count}} for count in self.gpus]
        without: dict[str, Any] = {"Alive": True, "Resources": {"CPU": 2}}
        return [without, *there, {"Alive": False, "Resources": {"GPU": 8}}]

    def shutdown(self) -> None:
        self.over = True


def test_gpus_that_no_machine_has_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: object())
    for gpus, wanted in (((1, 1), 2), ((), 1), ((), 0.5)):
        ray = Connected(*gpus)
        monkeypatch.setitem(sys.modules, "ray", ray)
        with pytest.raises(
            InputError, match=f"a cell wants {wanted} GPUs, and no machine of the cluster has"
        ):
            cluster.started(Cluster("cuda", num_gpus=wanted))
        assert ray.over
    for gpus, wanted in (((1, 2), 2), ((), 0), ((1,), 0.5)):
        ray = Connected(*gpus)
        monkeypatch.setitem(sys.modules, "ray", ray)
        assert cluster.started(Cluster("cuda", num_gpus=wanted)) is ray
        assert not ray.over


@pytest.mark.parametrize("error", [ConnectionError("none"), ValueError("not an address")])
def test_an_address_that_is_none_is_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "ray", Connected(error=error))
    with pytest.raises(InputError, match="no Ray cluster answers at 'foo': start one"):
        cluster.started(Cluster("cpu", "foo"))


def test_a_worker_works_in_the_drivers_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where relative paths, to models and photos, mean what they mean to who called."""
    monkeypatch.chdir(Path.cwd())  # back again at the end
    runner = SimpleNamespace(run=lambda cells: {"at": Path.cwd()}, works=SimpleNamespace(failed={}))
    monkeypatch.setattr(cluster, "_runner", lambda folder, device: runner)
    made = cluster.attempt(cast("Any", None), tmp_path / "run", "cpu", tmp_path)
    assert made == ({"at": tmp_path}, {})


# With Ray itself


SIZES = """
[toy]
model = "toybox"
judge = "toybox-identity"
preset = "published"
subjects = { dog = [0] }
seeds = [0, 1]
class_images = 1
images_per_prompt = { evaluation = 1 }
sampling = { num_inference_steps = 1 }
views = { protect = 1, attack = 1, held_out = 1 }
personalizer.dreambooth = { max_train_steps = 1 }
"""
SCENARIO = """
name = "small"
title = "A small table"
row = [{ label = "attack", role = "control" }, { label = "none", personalizer = "none", role = "placebo" }]
"""

# A worker that meets the cell "a" the first time is killed; the cells are words here.
LOST = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from apdm.benchmark.tables import cluster
from apdm.watch import silent

def attempt(cell, folder, device, where):
    tried = folder / f"{cell.digest}-tried"
    if cell.digest == "a" and not tried.exists() or cell.digest == "b":
        tried.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / cell.digest).write_text(str(Path.cwd() == where))
    return {}, {}

cluster.attempt = attempt
cells = [SimpleNamespace(digest=name, works=()) for name in "abc"]
settings = cluster.Cluster("cpu", retries=1)
for digest, error in cluster.make_on_ray(cells, Path(sys.argv[1]), silent, settings).items():
    print(digest, error)
"""


def ran(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("ray", reason="the extra apdm[cluster] is not installed")
    python = [sys.executable, "-W", "ignore", *arguments]
    awake = os.environ | {"RAY_worker_niceness": "0"}  # else others' work comes first
    return subprocess.run(python, cwd=folder, capture_output=True, text=True, timeout=600, env=awake)


@pytest.mark.slow
def test_a_scenario_is_made_by_ray(tmp_path: Path) -> None:
    (tmp_path / "sizes.toml").write_text(SIZES)
    (tmp_path / "small.toml").write_text(SCENARIO)
    for _ in range(2):
        done = ran(tmp_path, "-m", "apdm", "bench", "small.toml", "--engine", "ray", "--output_dir", "run")
        assert done.returncode == 0, done.stderr
        assert done.stdout == "apdm table run\n"
    records = [json.loads(path.read_text()) for path in (tmp_path / "run" / "records").iterdir()]
    assert len(records) == 3
    assert all((tmp_path / "run" / record["pictures"]).is_dir() for record in records)


@pytest.mark.slow
def test_ray_begins_the_cell_of_a_lost_worker_again(tmp_path: Path) -> None:
    (tmp_path / "lost.py").write_text(LOST)
    done = ran(tmp_path, "lost.py", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a").read_text() == (tmp_path / "c").read_text()
    said = "the worker of a cell was lost 2 times (WorkerCrashedError): is there memory enough?"
    assert done.stdout.splitlines()[-1] == f"b {said}"
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_no_cluster_at_an_address_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "sizes.toml").write_text(SIZES)
    (tmp_path / "small.toml").write_text(SCENARIO)
    bench = ("-m", "apdm", "bench", "small.toml", "--engine", "ray", "--address", "auto")
    done = ran(tmp_path, *bench)
    assert done.returncode == 2
    assert "no Ray cluster answers at 'auto'" in done.stderr
