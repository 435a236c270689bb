"""The frozen evaluation of docs/evaluation.md as `apdm bench` runs it: the Toybox with its protection."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from apdm.assets import TOYBOX_GENERATOR, TOYBOX_IDENTITY, TOYBOX_READER, sha256
from apdm.backbones.load import load
from apdm.benchmark.cells import Cells
from apdm.benchmark.protection import ASCENT, subjects_of, work
from apdm.benchmark.protection_figures import figures, pictures
from apdm.benchmark.provenance import code, provenance
from apdm.benchmark.record import LOG_FILE, Figure, as_json
from apdm.benchmark.scenario import Scenario, read_scenario
from apdm.benchmark.store import plain
from apdm.benchmark.tabulate import said_of
from apdm.benchmark.workshop import Workshop
from apdm.cli.progress import progress
from apdm.cli.side_by_side import side_by_side
from apdm.metrics.judges import EFFICIENTNET, TOYBOX, judge
from apdm.metrics.reader import Reader
from apdm.pixels import from_uint8, to_images
from apdm.protectors.apdm import PUBLISHED
from apdm.report.frozen import course, table
from apdm.report.strips import Shown, Strip, write_strips
from apdm.toybox import presets
from apdm.watch import Watch, silent

ON_SHEET = 8  # pictures of each prompt, so that a sheet can be looked at whole; our choice


@dataclass(frozen=True)
class Lot:
    """The subjects of one process: (class noun, number)."""

    subjects: tuple[tuple[str, int], ...]
    scenario: Scenario
    folder: Path


def run(path: Path, folder: Path, processes: int) -> Path:
    """Makes every result of the scenario in `path` that is not in `folder`, and of them `protection.json`,
    its table (.md) and curves (.svg), `likeness.json` of every picture, and a sheet for each subject.

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
    found = figures(shop)
    record = {name: _json(it) for name, it in found.items()} | {
        "command": f"apdm bench {path}",
        **asdict(provenance(shop.backbone.device)),
    }
    written = folder / "protection.json"
    written.write_text(json.dumps(record, indent=2) + "\n")
    written.with_suffix(".md").write_text(table(found))
    written.with_suffix(".svg").write_text(course(found))
    (folder / "likeness.json").write_text(json.dumps(every_likeness(shop.cells), indent=1) + "\n")
    write_sheets(shop)
    return written


def every_likeness(cells: Cells) -> dict[str, object]:
    """What the rates rest on, by the name of its cell: [picture], or of an attack [look][picture]."""
    looked_at = [name for name in cells.names() if name.startswith(("attack/", "class-likeness/"))]
    return {name: cells.read(name)["likeness"].double().numpy().round(4).tolist() for name in looked_at}


def write_sheets(shop: Workshop) -> None:
    """`sheet-SUBJECT.png` each, with the first pictures of both prompts."""
    each = shop.scenario.images_per_prompt
    rows = [place for place in range(2 * each) if place % each < ON_SHEET]
    for class_noun in shop.scenario.class_nouns:
        for number, subject in enumerate(subjects_of(shop, class_noun)):
            strips = [
                Strip(heading, to_images(from_uint8(drawn.numpy()[[it for it in rows if it < len(drawn)]])))
                for heading, drawn in pictures(shop, class_noun, number).items()
            ]
            write_strips([Shown(subject.name, strips)], shop.folder / f"sheet-{subject.name}.png")


def work_lot(lot: Lot, watch: Watch) -> None:
    """Makes the results of some subjects, in a process of their own."""
    shop = workshop(lot, watch)
    for class_noun, number in lot.subjects:
        work(shop, class_noun, number)


def workshop(lot: Lot, watch: Watch) -> Workshop:
    """The workshop of the Toybox with the protection of its preset. Raises `InputError` if the folder
    holds results of other settings or other code."""
    settings = (lot.scenario, presets.PROTECTION, presets.SAMPLING, PUBLISHED, ASCENT)
    weights = [
        sha256(it.folder() / "SHA256SUMS.json") for it in (TOYBOX_GENERATOR, TOYBOX_IDENTITY, TOYBOX_READER)
    ]
    about = {"settings": plain(settings), "weights": weights, "code": said_of(*code())}
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
