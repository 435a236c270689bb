"""The whole trade-off: what a protection holds against what it costs, over learning rates and steps.

    python recipes/trade_off.py
    python recipes/trade_off.py --device cuda --jobs 16 --sample_batch_size 256 --rounding
    python recipes/draw_trade_off.py     # the figure and the table

Tuning toys only, in the scenes too, so that a preset may be chosen by this. One protection for each toy and
learning rate, looked at on its way. Every model so reached is attacked by the frozen evaluation's attack and
by the demo's, with other photos than it was protected with, and draws captions of held-out scenes; FID is to
renders of such scenes, as many as in the frozen evaluation. A line of trade-off.jsonl for each model as
soon as it is measured; what has its line is not measured again by the same code. With
--rounding also the preset's protection and the unprotected model as a release rounds them, and what of
16 updates at the published rate is left in the file.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import fields, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from apdm.benchmark.frozen.scenario import read_scenario
from apdm.benchmark.provenance import code
from apdm.benchmark.store import save_text
from apdm.benchmark.tables.tabulate import said_of
from apdm.protectors.apdm import PUBLISHED
from apdm.toybox.presets import ATTACK, PROTECTION, SAMPLING
from rounding import FORMS
from trade_off_point import Point, Run, measure, protect_on_the_way, reference_features

RESULTS = Path("runs/trade-off/trade-off.jsonl")
SCENARIO = read_scenario(Path(__file__).parents[1] / "scenarios" / "protection.toml")
TOYS = ("dog-400001", "cat-400000", "person-400000")
RATES = tuple(factor * PROTECTION.learning_rate for factor in (1, 0.5, 2))
STEPS = (75, 150, 300, 600)
PUBLISHED_UPDATES = 16  # looked at for what rounding leaves of them
PART = 1000  # renders a job


def points(args: argparse.Namespace) -> list[Point]:
    """The most important first: the preset's rate before others, and roundings last."""
    unprotected = [Point(toy, 0.0, 0) for toy in args.toys]
    course = [Point(toy, r, steps) for r in args.rates for steps in args.steps for toy in args.toys]
    if not args.rounding:
        return [*unprotected, *course]
    end = PROTECTION.outer_steps if PROTECTION.outer_steps in args.steps else args.steps[-1]
    preset = [Point(toy, PROTECTION.learning_rate, end) for toy in args.toys]
    published = Point(args.toys[0], PUBLISHED.learning_rate, PUBLISHED_UPDATES)
    released = [replace(it, rounding=form) for it in (*preset, *unprotected, published) for form in FORMS]
    return [*unprotected, *course, *released]


def measure_all(run: Run, waiting: list[Point], results: Path, jobs: int) -> None:
    """Lets processes make references and protections, and measure each model as soon as it is there. Raises
    what went wrong with any, when all others are done."""
    about = {"settings": run.digest, "commit": run.commit}
    cells, failures = run.cells(), list[Future[dict[str, object]]]()
    scenes = range(0 if "references" in cells else run.scenario.reference_renders)
    courses = dict.fromkeys((it.toy, it.learning_rate) for it in waiting if it.steps)
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        parts = [pool.submit(reference_features, run, scenes[at : at + PART]) for at in scenes[::PART]]
        protections = []
        for toy, rate in courses:
            stops = sorted({it.steps for it in waiting if (it.toy, it.learning_rate) == (toy, rate)})
            protections.append(pool.submit(protect_on_the_way, run, toy, rate, stops))
        if parts:
            features = np.concatenate([part.result() for part in parts])
            cells.get("references", lambda: {"features": torch.from_numpy(features)})
        measured: set[Future[dict[str, object]]] = set()
        over = False
        while measured or not over:
            over = all(protection.done() for protection in protections)
            ready = [it for it in waiting if not it.waits(cells)]
            waiting = [it for it in waiting if it not in ready]
            measured |= {pool.submit(measure, run, it) for it in ready}
            finished = {it for it in measured if it.done()}
            measured -= finished
            failures += [it for it in finished if it.exception()]
            append(results, [{**it.result(), **about} for it in finished if not it.exception()])
            time.sleep(0.2)
    for it in (*protections, *failures):
        it.result()
    if waiting:
        raise RuntimeError(f"no weights were made of {', '.join(map(str, waiting))}")


def read_lines(results: Path, refuse: Callable[[str], NoReturn]) -> list[dict[str, Any]]:
    """Those of `results`; a last one that a kill has cut off is named and left out, and any other that is not
    JSON refused."""
    lines, found = results.read_text(encoding="utf-8").splitlines(), []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(json.loads(line))
        except ValueError as error:
            where = f"{results}, line {number}"
            if number < len(lines):
                refuse(f"{where} is not JSON ({error}): repair or remove it")
            print(f"{where} was cut off: it is left out", file=sys.stderr)
    return found


def point_of(line: Mapping[str, Any]) -> Point:
    return Point(**{it.name: line[it.name] for it in fields(Point)})


def append(results: Path, lines: Iterable[Mapping[str, object]]) -> None:
    with results.open("a") as log:
        for line in lines:
            log.write(json.dumps(line) + "\n")
            print(point_of(line), flush=True)


def settings(args: argparse.Namespace) -> Run:
    scenario = replace(
        SCENARIO,
        attack_seeds=tuple(args.attack_seeds),
        captioned_images=args.fid_images,
        asked_images=200,
        error_scenes=200,
    )
    demo, sampling = ATTACK, replace(SAMPLING, sample_batch_size=args.sample_batch_size)
    if args.tiny:
        frozen, demo = (replace(attack, max_train_steps=2) for attack in (scenario.attack, demo))
        few = dict.fromkeys(("captioned_images", "asked_images", "error_scenes", "reference_renders"), 8)
        scenario = replace(scenario, attack=frozen, class_images=4, images_per_prompt=1, **few)
        sampling = replace(sampling, num_inference_steps=2)
    return Run(scenario, demo, sampling, args.device, args.work_dir, args.commit or said_of(*code()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--toys", nargs="+", default=TOYS, metavar="CLASS-SEED")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--attack_seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--fid_images", type=int, default=500)
    parser.add_argument("--rounding", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="processes of a thread each")
    parser.add_argument("--sample_batch_size", type=int, default=16)
    parser.add_argument("--tiny", action="store_true", help="with --steps 1 2: see that everything runs")
    parser.add_argument("--commit", help="of the code, where git is not there to say it")
    parser.add_argument("--work_dir", type=Path, default=Path("runs/trade-off"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    run = settings(args)
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.touch()
    lines = read_lines(args.results, parser.error)
    if not args.results.read_bytes().endswith(b"\n"):  # the next line would be written on behind the last
        save_text("".join(f"{json.dumps(line)}\n" for line in lines), args.results)
    there = [point_of(line) for line in lines if line["settings"] == run.digest]
    waiting = [point for point in points(args) if point not in there]
    measure_all(run, waiting, args.results, args.jobs)


if __name__ == "__main__":
    main()
