"""`apdm benchmark`: a scenario's figures, all of them by one command that can be stopped and run again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from apdm.assets import TOYBOX_GENERATOR, TOYBOX_IDENTITY, TOYBOX_READER, sha256
from apdm.backbones.load import load
from apdm.benchmark.cells import Cells
from apdm.benchmark.protection import ASCENT, figures, work
from apdm.benchmark.record import LOG_FILE, Figure, as_json
from apdm.benchmark.scenario import Scenario, read_scenario
from apdm.benchmark.store import plain, versions
from apdm.benchmark.workshop import Workshop
from apdm.cli.arguments import read
from apdm.cli.progress import progress
from apdm.cli.side_by_side import side_by_side
from apdm.errors import at_least
from apdm.metrics.judges import EFFICIENTNET, TOYBOX, judge
from apdm.metrics.reader import Reader
from apdm.protectors.apdm import PUBLISHED
from apdm.toybox import presets
from apdm.watch import Watch, silent

EXAMPLE = "apdm benchmark scenarios/protection.toml --output_dir runs/demo-full"


@dataclass(frozen=True)
class Benchmark:
    """Run a scenario on the Toybox with its protection: every figure of docs/evaluation.md. Stopped and
    run again with the same folder, it goes on where it was. Writes protection.json."""

    scenario: tyro.conf.Positional[Path]
    """Such as scenarios/protection.toml."""
    output_dir: Path = Path("runs/demo-full")
    """Keeps every result that was made."""
    processes: int = 2
    """That share the subjects and the cores [our choice: one for each of two cores]."""


@dataclass(frozen=True)
class Lot:
    """The subjects of one process: (class noun, number)."""

    subjects: tuple[tuple[str, int], ...]
    scenario: Scenario
    folder: Path


def main(arguments: Sequence[str]) -> None:
    wanted = read(Benchmark, "benchmark", arguments, EXAMPLE)
    at_least(wanted, processes=1)
    scenario = read_scenario(wanted.scenario)
    shares: list[list[tuple[str, int]]] = [[] for _ in range(wanted.processes)]
    for place, class_noun in enumerate(scenario.class_nouns):
        for number in range(len(scenario.subjects)):
            shares[(place + number) % wanted.processes].append((class_noun, number))
    lots = [Lot(tuple(share), scenario, wanted.output_dir) for share in shares if share]
    shop = workshop(lots[0], silent)  # whatever is wrong is said before anything is made
    with progress(wanted.output_dir / LOG_FILE) as watch:
        side_by_side(work_lot, lots, watch)
    found = {name: _json(it) for name, it in figures(shop).items()}
    record = {**found, "command": f"apdm benchmark {wanted.scenario}", "versions": versions()}
    path = wanted.output_dir / "protection.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(path)


def work_lot(lot: Lot, watch: Watch) -> None:
    """Makes the results of some subjects, in a process of their own."""
    shop = workshop(lot, watch)
    for class_noun, number in lot.subjects:
        work(shop, class_noun, number)


def workshop(lot: Lot, watch: Watch) -> Workshop:
    """The workshop of the Toybox with the protection of its preset. Raises `InputError` if the folder
    holds results of other settings."""
    settings = (lot.scenario, presets.PROTECTION, presets.SAMPLING, PUBLISHED, ASCENT)
    weights = [
        sha256(it.folder() / "SHA256SUMS.json") for it in (TOYBOX_GENERATOR, TOYBOX_IDENTITY, TOYBOX_READER)
    ]
    about = {"settings": plain(settings), "weights": weights}
    return Workshop(
        load("toybox"),
        lot.scenario,
        presets.PROTECTION,
        presets.SAMPLING,
        judge(TOYBOX),
        judge(EFFICIENTNET),
        Reader(TOYBOX_READER.folder()),
        lot.folder,
        Cells(lot.folder / "cells", about),
        watch,
    )


def _json(it: Figure | dict[str, Figure]) -> object:
    return as_json(it) if isinstance(it, Figure) else {name: as_json(figure) for name, figure in it.items()}
