"""The frozen evaluation of docs/evaluation.md as `apdm bench` runs it: the Toybox with its protection."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from apdm.assets import TOYBOX_GENERATOR, TOYBOX_IDENTITY, TOYBOX_READER, sha256
from apdm.backbones.load import load
from apdm.benchmark.cells import Cells
from apdm.benchmark.protection import ASCENT, figures, work
from apdm.benchmark.record import LOG_FILE, Figure, as_json
from apdm.benchmark.scenario import Scenario, read_scenario
from apdm.benchmark.store import plain, versions
from apdm.benchmark.workshop import Workshop
from apdm.cli.progress import progress
from apdm.cli.side_by_side import side_by_side
from apdm.metrics.judges import EFFICIENTNET, TOYBOX, judge
from apdm.metrics.reader import Reader
from apdm.protectors.apdm import PUBLISHED
from apdm.toybox import presets
from apdm.watch import Watch, silent


@dataclass(frozen=True)
class Lot:
    """The subjects of one process: (class noun, number)."""

    subjects: tuple[tuple[str, int], ...]
    scenario: Scenario
    folder: Path


def run(path: Path, folder: Path, processes: int) -> Path:
    """Makes every result of the scenario in `path` that is not in `folder`, and `protection.json` of them.

    Stopped and run again with the same folder, it goes on where it was.
    """
    scenario = read_scenario(path)
    shares: list[list[tuple[str, int]]] = [[] for _ in range(processes)]
    for place, class_noun in enumerate(scenario.class_nouns):
        for number in range(len(scenario.subjects)):
            shares[(place + number) % processes].append((class_noun, number))
    lots = [Lot(tuple(share), scenario, folder) for share in shares if share]
    shop = workshop(lots[0], silent)  # whatever is wrong is said before anything is made
    with progress(folder / LOG_FILE, memory=False) as watch:
        side_by_side(work_lot, lots, watch)
    found = {name: _json(it) for name, it in figures(shop).items()}
    record = {**found, "command": f"apdm bench {path}", "versions": versions()}
    written = folder / "protection.json"
    written.write_text(json.dumps(record, indent=2) + "\n")
    return written


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
