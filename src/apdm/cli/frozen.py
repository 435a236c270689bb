"""The frozen evaluation of docs/evaluation.md as `apdm bench` runs it: the Toybox with its protection."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from apdm.assets import TOYBOX_GENERATOR, TOYBOX_IDENTITY, TOYBOX_READER, sha256
from apdm.backbones.load import load
from apdm.benchmark.frozen.cells import ABOUT, Cells
from apdm.benchmark.frozen.figures import attack_pictures, class_pictures, figures
from apdm.benchmark.frozen.jobs import ASCENT, Pair, finished, jobs, pairs_of, work
from apdm.benchmark.frozen.scenario import Scenario, read_scenario
from apdm.benchmark.frozen.workshop import Workshop
from apdm.benchmark.provenance import provenance
from apdm.benchmark.reading import read_as, read_json
from apdm.benchmark.record import LOG_FILE, Figure, Provenance, as_json
from apdm.benchmark.store import plain, save_text, without_kinds
from apdm.benchmark.tables.tabulate import said_of
from apdm.cli.progress import progress
from apdm.cli.side_by_side import side_by_side
from apdm.errors import InputError
from apdm.metrics.base import FeatureExtractor, NetworkExtractor
from apdm.metrics.judges import EFFICIENTNET, TOYBOX, judge
from apdm.metrics.reader import Reader
from apdm.pixels import from_uint8, to_images, to_uint8
from apdm.protectors.apdm import PUBLISHED
from apdm.report.frozen import course, table
from apdm.report.strips import Shown, Strip, write_strips
from apdm.toybox import presets
from apdm.watch import Watch, silent

CELLS, WORKS = "cells", "works"
COPY = "copy it from where the results were made"
ON_SHEET = 8  # pictures of each prompt, so that a sheet can be looked at whole; our choice


@dataclass(frozen=True)
class About:
    """What all results depend on, as it stands beside them; the scenario is the first of the settings. Raises
    `InputError` for none."""

    settings: tuple[object, ...]
    weights: tuple[str, ...]
    device: str

    def __post_init__(self) -> None:
        if not self.settings:
            raise InputError(f"{ABOUT} has no settings", fix=COPY)


@dataclass(frozen=True)
class Share:
    """What one process works on: all results, of which it takes those that nobody else does."""

    scenario: Scenario
    folder: Path
    device: str


def run(path: Path, folder: Path, devices: Sequence[str]) -> Path:
    """Makes every result of the scenario in `path` that is not in `folder`, a process on each of `devices`,
    and tells their figures.

    Stopped and run again with the same folder, it goes on where it was: `cells` holds the results, some
    kilobytes each, and is all that has to be kept; `works` holds what they were made with, and is made
    again. Raises `InputError` for a folder whose results are of other settings or, if some are missing, of
    other code.
    """
    shares = [Share(read_scenario(path), folder, device) for device in devices]
    shop = workshop(shares[0], silent)  # whatever is wrong is said before anything is made
    missing = [job.name for job in jobs(shop) if job.name not in shop.cells]
    made_by = provenance_of(shop, missing)
    if missing:
        with progress(folder / LOG_FILE, memory=False) as watch:
            side_by_side(work_share, shares, watch)
    return write_figures(shop, folder, {"command": f"apdm bench {path}", **made_by})


def holds_results(folder: Path) -> bool:
    """Whether it is the folder of a frozen evaluation."""
    return (folder / CELLS / ABOUT).is_file()


def tell(folder: Path, output: Path) -> Path:
    """Writes into `output` what the results in `folder` say so far. Raises `InputError` where not even the
    first attack seed's are there, or where this version has other settings."""
    place = folder / CELLS / ABOUT
    about = read_json(About, place, fix=COPY)
    scenario = read_as(Scenario, without_kinds(about.settings[0]), str(place))
    shop = workshop(Share(scenario, folder, "cpu"), silent, made_on=about.device)
    return write_figures(shop, output, {"command": f"apdm table {folder}", **provenance_of(shop, [])})


def write_figures(shop: Workshop, folder: Path, made_by: Mapping[str, object]) -> Path:
    """`protection.json`, its table (.md) and curves (.svg), `likeness.json` of every picture, and a sheet for
    each subject whose pictures are there."""
    part, missing = finished(shop), len({job.name for job in jobs(shop)} - {*shop.cells.names()})
    found = figures(replace(shop, scenario=part))
    told = {name: _json(it) for name, it in found.items()}
    record = {**told, "attack_seeds": part.attack_seeds, "missing_results": missing, **made_by}
    written = folder / "protection.json"
    save_text(json.dumps(record, indent=2) + "\n", written)
    so_far = f"{part_of(part, shop.scenario)}\n\n" if missing else ""
    save_text(so_far + table(found), written.with_suffix(".md"))
    save_text(course(found), written.with_suffix(".svg"))
    save_text(json.dumps(every_likeness(shop.cells), indent=1) + "\n", folder / "likeness.json")
    write_sheets(shop, folder)
    return written


def part_of(part: Scenario, whole: Scenario) -> str:
    """What an unfinished evaluation's figures rest on, in a sentence or two."""
    done, wanted = (", ".join(map(str, it.attack_seeds)) for it in (part, whole))
    later = ", ".join(it for it in whole.placebos if it not in part.placebos)
    said = "Not finished" if done == wanted else f"Not finished: attack seed {done} of {wanted}"
    return f"{said}. Not there yet: placebo {later}." if later else f"{said}."


def provenance_of(shop: Workshop, missing: Sequence[str]) -> dict[str, object]:
    """By what the results are made. Raises `InputError` where some are `missing` and the others, or what is
    there to make them with, are of other code, or nothing says of which: the record would name a commit that
    did not make them."""
    here = provenance(shop.backbone.device)
    notes = [kept.folder / "made_by.json" for kept in (shop.cells, shop.works)]
    if shop.cells.names() and not notes[0].exists():
        what = f"'{notes[0]}' is not there, which says what made the results"
        raise InputError(what, fix=COPY)
    said = [read_json(Provenance, note, fix=COPY) if note.exists() else here for note in notes]
    for note, was in zip(notes, said, strict=True) if missing else ():
        if (was.commit, was.dirty) != (here.commit, here.dirty):
            what = f"'{note.parent}' holds results of {said_of(was.commit, was.dirty)}"
            raise InputError(what, fix="give another folder, or go on with that code")
    for note in notes if missing else ():
        if not note.exists():
            save_text(json.dumps(asdict(here), indent=2) + "\n", note)
    return asdict(said[0])


def every_likeness(cells: Cells) -> dict[str, object]:
    """What the rates rest on, by the name of its cell: [picture], or of an attack [look][picture]."""
    looked_at = [name for name in cells.names() if name.startswith(("attack/", "class-likeness/"))]
    return {name: cells.read(name)["likeness"].double().numpy().round(4).tolist() for name in looked_at}


def write_sheets(shop: Workshop, folder: Path) -> None:
    """`sheet-SUBJECT.png` each in `folder`; none of a subject whose attacks were all made elsewhere."""
    for pair in pairs_of(shop):
        if shown := most_shown(shop, pair):
            write_strips([shown], folder / f"sheet-{pair.subject.name}.png")


def most_shown(shop: Workshop, pair: Pair) -> Shown | None:
    """The first pictures of both prompts, of the attack seed of which most are there: of the whole scenario,
    also where its figures are not told yet."""
    each, subject, seeds = shop.scenario.images_per_prompt, pair.subject, shop.scenario.attack_seeds
    drawn = {seed: attack_pictures(shop, pair, seed) for seed in seeds}
    seed = max(seeds, key=lambda seed: len(drawn[seed]))
    if not drawn[seed]:
        print(f"no sheet of {subject.name}: its attacks' pictures are not here")
        return None
    photos = torch.from_numpy(to_uint8(subject.pixels("attack", shop.backbone.resolution)))
    shown = {"photos": photos} | drawn[seed] | class_pictures(shop, subject)
    rows = [place for place in range(2 * each) if place % each < ON_SHEET]
    strips = [
        Strip(heading, to_images(from_uint8(some.numpy()[[it for it in rows if it < len(some)]])))
        for heading, some in shown.items()
    ]
    return Shown(f"{subject.name}, attack seed {seed}", strips)


def work_share(share: Share, watch: Watch) -> None:
    """The life of a process."""
    work(workshop(share, watch))


def workshop(share: Share, watch: Watch, made_on: str | None = None) -> Workshop:
    """The workshop of the Toybox with the protection of its preset. Raises `InputError` if the folder holds
    results of other settings or of another kind of device than `made_on`, its own if None."""
    torch.backends.cudnn.allow_tf32 = False  # float32 as on a CPU
    backbone = load("toybox", share.device)
    scenario, folder = share.scenario, share.folder
    settings = (scenario, presets.PROTECTION, presets.SAMPLING, PUBLISHED, ASCENT)
    shipped = (TOYBOX_GENERATOR, TOYBOX_IDENTITY, TOYBOX_READER)
    weights = tuple(sha256(it.folder() / "SHA256SUMS.json") for it in shipped)
    kind = made_on or torch.device(share.device).type
    about = asdict(About(tuple(plain(settings)), weights, kind))
    return Workshop(
        backbone,
        scenario,
        presets.PROTECTION,
        presets.SAMPLING,
        seeing(TOYBOX, share.device),
        seeing(EFFICIENTNET, share.device),
        Reader(TOYBOX_READER.folder()),
        Cells(folder / CELLS, about),
        Cells(folder / WORKS, about),
        watch,
    )


def seeing(name: str, device: str) -> FeatureExtractor:
    """The judge called `name` on `device`."""
    found = judge(name)
    if isinstance(found, NetworkExtractor):
        found.network.to(device)
    return found


def _json(it: Figure | dict[str, Figure]) -> object:
    return as_json(it) if isinstance(it, Figure) else {name: as_json(figure) for name, figure in it.items()}
