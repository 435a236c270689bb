"""Cells as tasks of a Ray cluster: each runs where its GPUs are free, and again if its worker is lost.

The driver only hands out cells. What they share lies in the bench's folder, which all machines must see under
the same path, on a file system whose locks hold across them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from apdm.benchmark.tables.kept import AnyCell
from apdm.benchmark.tables.outcome import read_outcome
from apdm.benchmark.tables.runner import PATIENCE, Runner, Tools
from apdm.benchmark.tables.works import Work, Works
from apdm.errors import InputError, at_least
from apdm.watch import Watch

Wrong = dict[str, InputError]


@dataclass(frozen=True)
class Cluster:
    """Where cells run, and what each of them is given."""

    device: str
    address: str | None = None
    """Of a cluster that is there; without one Ray is started on this machine."""
    num_gpus: float = 0
    """GPUs of a cell, or a part of one."""
    retries: int = 3
    """How often a cell is begun again whose worker is lost [Ray's default]."""

    def __post_init__(self) -> None:
        at_least(self, num_gpus=0, retries=0)
        if self.num_gpus > 1 and self.num_gpus % 1:
            raise InputError(f"num_gpus is {self.num_gpus:g}", fix="above 1 give a whole number")


def make_on_ray(cells: Sequence[AnyCell], folder: Path, watch: Watch, cluster: Cluster) -> Wrong:
    """Makes every cell that is not in `folder` yet. One that cannot be made does not stop the others: what
    was wrong, by the cells' digests, is given back; an error of ours is raised once all else is made."""
    ray = started(cluster)
    try:
        return Driver(ray, cells, folder, watch, cluster).run()
    finally:
        ray.shutdown()


def check_installed() -> None:
    """Raises `InputError` where Ray is not."""
    if find_spec("ray") is None:
        raise InputError("Ray is not installed", fix="pip install 'apdm[cluster]'")


def started(cluster: Cluster) -> Any:
    """Ray, connected. Raises `InputError` where it is not installed, no cluster answers or no machine of it
    has a cell's GPUs, which Ray would wait for in silence."""
    check_installed()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a Ray that is started here reports to nobody
    import ray  # pyright: ignore[reportMissingImports]

    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, ValueError) as error:
        what = f"no Ray cluster answers at '{cluster.address}'"
        raise InputError(what, fix="start one ('ray start --head') or leave out --address") from error
    most = max((node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
    if most < cluster.num_gpus:
        ray.shutdown()
        what = f"a cell wants {cluster.num_gpus:g} GPUs, and no machine of the cluster has more than {most:g}"
        raise InputError(what, fix="give less to --num_gpus, or first start a machine that has them")
    return ray


def attempt(cell: AnyCell, folder: Path, device: str, where: Path) -> tuple[Wrong, Wrong]:
    """What a worker does, in the driver's folder `where`: makes one cell. Gives back what was wrong with it
    and with its works, by their digests."""
    os.chdir(where)
    runner = _runner(folder, device)
    return runner.run([cell]), runner.works.failed


@cache
def _runner(folder: Path, device: str) -> Runner:
    """A process that makes several cells loads its models once. With a GPU it makes one, as Ray has it."""
    return Runner(folder, device, Tools())


@dataclass
class Job:
    """A cell to be made, and by their digests its works that were not there when last looked for."""

    cell: AnyCell
    digest: str
    lacking: dict[str, Work]

    def look(self, works: Works) -> None:
        self.lacking = {digest: work for digest, work in self.lacking.items() if not works.there(work)}


class Driver:
    """Hands out cells and hears what became of them."""

    def __init__(
        self, ray: Any, cells: Sequence[AnyCell], folder: Path, watch: Watch, cluster: Cluster
    ) -> None:
        self.ray, self.cluster, self.watch, self.total = ray, cluster, watch, len(cells)
        self.works = Works(folder, torch.device("cpu"))
        self.task = ray.remote(num_gpus=cluster.num_gpus, max_retries=cluster.retries)(attempt)
        self.given = folder.resolve(), cluster.device, Path.cwd()
        self.wrong: Wrong = {}
        self.wrong_works: Wrong = {}
        self.bugs: list[Exception] = []
        self.running: dict[Any, Job] = {}
        self.waiting = [job for cell in cells if (job := self._job(cell))]

    def run(self) -> Wrong:
        while self.waiting or self.running:
            self._start()
            self._tell()
            self._hear()
        self._tell()
        if self.bugs:
            raise self.bugs[0]
        return self.wrong

    def _job(self, cell: AnyCell) -> Job | None:
        """None for a cell that has its record, or a damaged one."""
        digest = cell.digest
        try:
            if read_outcome(self.works.folder, digest):
                return None
        except InputError as error:
            self.wrong[digest] = error
            return None
        return Job(cell, digest, {work.digest: work for work in cell.works})

    def _start(self) -> None:
        for job in (*self.waiting, *self.running.values()):
            job.look(self.works)
        for job in startable(self.waiting, self.running.values()):
            self.waiting.remove(job)
            if known := next((self.wrong_works[it] for it in job.lacking if it in self.wrong_works), None):
                self.wrong[job.digest] = known  # nobody tries again what could not be made
            else:
                self.running[self.task.remote(job.cell, *self.given)] = job

    def _tell(self) -> None:
        left = len(self.waiting) + len(self.running) + len(self.wrong) + len(self.bugs)
        self.watch("cells", self.total - left, self.total, {})

    def _hear(self) -> None:
        """Waits a moment for one that ends."""
        ended = self.ray.wait(list(self.running), timeout=PATIENCE)[0] if self.running else []
        for reference in ended:
            job = self.running.pop(reference)
            try:
                of_cell, of_works = self.ray.get(reference)
                self.wrong |= of_cell
                self.wrong_works |= of_works
            except self.ray.exceptions.RayTaskError as error:
                self.bugs.append(error)
            except self.ray.exceptions.RayError as error:
                self.wrong[job.digest] = lost(self.cluster.retries, error)


def startable(waiting: Sequence[Job], running: Iterable[Job]) -> list[Job]:
    """Those of `waiting` that lack no work which one of `running`, or one before them, makes: the others
    would only wait for it."""
    claimed = {digest for job in running for digest in job.lacking}
    chosen = []
    for job in waiting:
        if claimed.isdisjoint(job.lacking):
            chosen.append(job)
            claimed |= job.lacking.keys()
    return chosen


def lost(retries: int, error: Exception) -> InputError:
    times = "once" if retries == 0 else f"{retries + 1} times"
    why = type(error).__name__  # such as OutOfMemoryError
    return InputError(f"the worker of a cell was lost {times} ({why})", fix="is there memory enough?")
