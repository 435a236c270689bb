"""`apdm bench`: a scenario's cells, made by one process or many, stopped and gone on with at will."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
import tyro

from apdm.benchmark.provenance import code
from apdm.benchmark.record import LOG_FILE
from apdm.benchmark.tables.cluster import Cluster, check_installed, make_on_ray
from apdm.benchmark.tables.grid import Size, is_grid, one_of, read_grid, read_size
from apdm.benchmark.tables.kept import AnyCell
from apdm.benchmark.tables.methods import METHODS
from apdm.benchmark.tables.outcome import LISTINGS, Listing, read_listings, read_outcome, write
from apdm.benchmark.tables.plan import Plan, costs, planned
from apdm.benchmark.tables.runner import Runner, Tools
from apdm.benchmark.tables.tabulate import code_of, digests_of, said_of
from apdm.benchmark.tables.works import Works
from apdm.cli import frozen
from apdm.cli.arguments import read
from apdm.cli.options import check_folder
from apdm.cli.progress import progress
from apdm.cli.side_by_side import side_by_side
from apdm.errors import InputError, at_least
from apdm.report.numbers import duration
from apdm.watch import Watch

EXAMPLE = "apdm bench scenarios/table1.toml --size toy --dry_run"
OF_RAY = ("address", "num_gpus", "retries")


# Makes cells in a folder; gives back what was wrong with those that it could not make, by their digests.
Engine = Callable[[Sequence[AnyCell], Path, Watch], dict[str, InputError]]


@dataclass(frozen=True)
class Bench:
    """Make the cells of a scenario that are not there yet. Each is kept as it is finished, with its record;
    what cells share is made once. Any number of these commands may work on one folder at a time."""

    scenario: tyro.conf.Positional[Path]
    """Such as scenarios/table1.toml; scenarios/protection.toml is the frozen evaluation."""
    size: str = "toy"
    """toy (the Toybox) or real (any diffusers model)."""
    output_dir: Path = Path("runs/bench")
    """Holds the cells of every scenario that is made in it."""
    data: Path | None = None
    """Where the folders of photos lie that a real size names."""
    model: str | None = None
    """Instead of the size's: a diffusers folder or a hub id."""
    device: str = "cpu"
    """cpu, cuda (all that are visible), cuda:1, mps."""
    engine: str = "local"
    """local (processes on this machine) or ray (a task for each cell; wants the extra apdm[cluster])."""
    workers: int | None = None
    """Of engine local: processes [one for each visible GPU, one on a CPU]."""
    address: str | None = None
    """Of engine ray: that of a cluster, or auto for the one of this machine; without, Ray is started here."""
    num_gpus: float | None = None
    """Of engine ray: GPUs for a cell, or a part of one [1 with --device cuda, else none]."""
    retries: int = 3
    """Of engine ray: how often a cell is begun again whose worker is lost [Ray's default]."""
    class_nouns: tuple[str, ...] = ()
    """Only these of the scenario's columns; all if none."""
    dry_run: bool = False
    """List the cells, which are there, and what the others will cost; make nothing."""


@dataclass(frozen=True)
class Share:
    """What one process works on: all cells, of which it takes those that nobody else does."""

    cells: tuple[AnyCell, ...]
    folder: Path
    device: str


def main(arguments: Sequence[str]) -> None:
    wanted = read(Bench, "bench", arguments, EXAMPLE)
    one_of(wanted.engine, ENGINES, "--engine")
    if wanted.workers is not None:
        at_least(wanted, workers=1)
    if not wanted.dry_run:
        check_folder(wanted.output_dir)
    if not is_grid(wanted.scenario):
        may_say = {name: getattr(wanted, name) for name in ("output_dir", "device", "workers")}
        if wanted != Bench(wanted.scenario, **may_say):
            what = f"'{wanted.scenario}' is the frozen evaluation"
            raise InputError(what, fix="give a folder, a device and workers only")
        print(frozen.run(wanted.scenario, wanted.output_dir, devices(wanted.device, wanted.workers)))
        return
    grid = read_grid(wanted.scenario)
    size = only(read_size(wanted.scenario, grid, wanted.size, wanted.model), wanted.class_nouns)
    plan = planned(grid, wanted.size, size, METHODS, wanted.data)
    refuse_other_code(plan, wanted.output_dir)
    if wanted.dry_run:
        works = Works(wanted.output_dir, torch.device("cpu"))
        print("\n".join(listed(plan, works, size.seconds)))
        return
    engine = ENGINES[wanted.engine](wanted)
    keep_listing(plan.listing(), wanted.output_dir)
    make(plan, wanted.output_dir, engine)
    print(f"apdm table {wanted.output_dir}")


def only(size: Size, class_nouns: tuple[str, ...]) -> Size:
    """`size` with the columns, and of its subjects those, of `class_nouns`."""
    for noun in class_nouns:
        one_of(noun, size.subjects, "--class_nouns")
    if not class_nouns:
        return size
    subjects = {noun: it for noun, it in size.subjects.items() if noun in class_nouns}
    return replace(size, columns=class_nouns, subjects=subjects)


def refuse_other_code(plan: Plan, folder: Path) -> None:
    """Raises `InputError` where what is there was made by other code, or a record is damaged: a table would
    refuse it, and better now than after hours."""
    works = Works(folder, torch.device("cpu"))
    every = {work.digest: work for cell in plan.cells() for work in cell.works}.values()
    made = {code_of(works.made(work).provenance) for work in every if works.there(work)}
    outcomes = [read_outcome(folder, cell.digest) for cell in plan.cells()]
    made |= {code_of(by) for outcome in outcomes if outcome for by in outcome.provenance}
    if made - {said_of(*code())}:
        what = f"'{folder}' holds results of {', '.join(sorted(made))}"
        raise InputError(what, fix="give a new folder for this code")


def keep_listing(listing: Listing, folder: Path) -> None:
    """Raises `InputError` where another model or other subjects have the table of this name already."""
    path = folder / LISTINGS / f"{listing.name}-{listing.size}.json"
    if path.exists():
        there = next(it for it in read_listings(folder) if (it.name, it.size) == (listing.name, listing.size))
        before, now = ({d for row in it.rows for d in digests_of(row)} for it in (there, listing))
        if before.isdisjoint(now):
            what = f"'{folder}' holds '{listing.name}' of another model or other subjects"
            raise InputError(what, fix="give a new folder")
    write(listing, path)


def make(plan: Plan, folder: Path, engine: Engine) -> None:
    """Makes the cells that are not in `folder` yet. Raises `InputError` with all that was wrong, once all
    that can be made is."""
    cells = plan.cells()
    with progress(folder / LOG_FILE, memory=False) as watch:
        wrong = engine(cells, folder, watch)
    if wrong:
        said = "; ".join(dict.fromkeys(str(error) for error in wrong.values()))
        raise InputError(
            f"{len(wrong)} of {len(cells)} cells could not be made ({said})", fix="the others are kept"
        )


def on_this_machine(wanted: Bench) -> Engine:
    """A process on each of the devices."""
    for name in OF_RAY:
        if getattr(wanted, name) != getattr(Bench, name):
            raise InputError(f"--{name} is of the engine ray", fix="leave it out, or give --engine ray")
    on = devices(wanted.device, wanted.workers)

    def engine(cells: Sequence[AnyCell], folder: Path, watch: Watch) -> dict[str, InputError]:
        shares = [Share(tuple(cells), folder, device) for device in on]
        found = side_by_side(work_share, shares, watch, to_the_end=True)
        return {digest: error for share in found for digest, error in share.items()}

    return engine


def on_ray(wanted: Bench) -> Engine:
    """A task for each cell, wherever it is."""
    if wanted.workers is not None:
        raise InputError("--workers is of the engine local", fix="Ray starts as many as there is room for")
    if wanted.device.startswith("cuda:"):
        raise InputError(f"Ray says which GPU is whose, not --device {wanted.device}", fix="give cuda")
    gpus = float(wanted.device == "cuda") if wanted.num_gpus is None else wanted.num_gpus
    cluster = Cluster(wanted.device, wanted.address, gpus, wanted.retries)
    check_installed()
    return partial(make_on_ray, cluster=cluster)


ENGINES: dict[str, Callable[[Bench], Engine]] = {"local": on_this_machine, "ray": on_ray}


def work_share(share: Share, watch: Watch) -> dict[str, InputError]:
    """The life of a worker."""
    return Runner(share.folder, share.device, Tools(), watch).run(share.cells)


def devices(device: str, workers: int | None) -> list[str]:
    """The device of each worker: visible GPUs in turn."""
    if device != "cuda":
        return [device] * (workers or 1)
    visible = torch.cuda.device_count()
    if not visible:
        raise InputError("no GPU is visible", fix="give --device cpu")
    return [f"cuda:{number % visible}" for number in range(workers or visible)]


def listed(plan: Plan, works: Works, expected: Mapping[str, float]) -> list[str]:
    """A line for each cell, and what all of them come to."""
    found = list(costs(plan, works, expected))
    width = max(len(cost.label) for cost in found)
    lines = [
        f"{'done   ' if cost.done else 'to make'}  {cost.label:<{width}}  {cost.cell.subject.name}  "
        f"seed {cost.cell.seed}  {_cost(cost.seconds, cost.missing) if not cost.done else ''}".rstrip()
        for cost in found
    ]
    known = sum(cost.seconds or 0 for cost in found)
    unknown = sum(cost.seconds is None for cost in found)
    todo = sum(not cost.done for cost in found)
    rest = f", and {unknown} whose cost is not known" if unknown else ""
    return [*lines, f"{len(found)} cells, {todo} to make: about {duration(known)} of one process{rest}"]


def _cost(seconds: float | None, missing: Sequence[str]) -> str:
    told = "cost not known" if seconds is None else f"about {duration(seconds)}"
    return f"{told}: {', '.join(missing) or 'all but the measurement is there'}"
