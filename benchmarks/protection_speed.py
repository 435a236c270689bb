"""Speed and memory of APDM's protection beside its published loop, in one process.

    python benchmarks/protection_speed.py                  # the Toybox, published batch of 1
    python benchmarks/protection_speed.py --batch 2        # the Toybox's own
    python benchmarks/protection_speed.py --model MODEL --device cuda
    python benchmarks/protection_speed.py --double         # losses compared in float64 too

Same model, seeds, precision and arithmetic: first the losses of both are compared step by step, then both are
timed in turns (the order changes each round), then the tensors that each holds at most are added up by
torch's profiler. A line of speed.jsonl in --output_dir. Figures are ratios: seconds mean nothing on another
machine.

Losses drift apart along the steps in float32, for AdamW makes a whole step of a gradient's last bits. In
float64, with everything that is encoded, they show whether the arithmetic is the same.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from apdm.backbones.base import Backbone, draw_noise
from apdm.backbones.load import load
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.apdm import APDM, protect
from apdm.protectors.material import ProtectionMaterial, protection_material
from apdm.seeding import generator
from apdm.toybox import presets
from apdm.types import Pixels
from published_loop import protect_as_published

INSTANCE, CLASS = "a photo of sks dog", "a photo of dog"
COMPARED = 50  # inner steps whose losses are compared
Run = Callable[[APDM], list[tuple[float, float]]]
S = TypeVar("S")


def settings(batch: int, outer: int, inner: int) -> APDM:
    """The Toybox's schedule without what the published loop has not: anchor, carried attack."""
    simulated = DreamBooth(presets.ATTACK.learning_rate, train_batch_size=batch)
    return replace(
        presets.PROTECTION,
        anchor_weight=0.0,
        restart_every=1,
        outer_steps=outer,
        inner_steps=inner,
        train_batch_size=batch,
        simulated=simulated,
    )


def material(backbone: Backbone, side: int | None = None) -> ProtectionMaterial:
    """Random pictures, `side` pixels or the model's own: speed does not depend on what is shown."""
    side = side or backbone.resolution

    def pictures(name: str, count: int) -> Pixels:
        blank = torch.zeros(count, 3, side, side, dtype=next(backbone.network.parameters()).dtype)
        return draw_noise(blank, generator(0, name)).clamp(-1, 1)

    sets = pictures("subject", 4), pictures("positives", 4), pictures("class", 16)
    return protection_material(backbone, *sets, INSTANCE, CLASS)


def runs(backbone: Backbone, of: ProtectionMaterial) -> dict[str, Run]:
    """Both loops; each tells the losses of its steps. Ours tells the mean over an outer step's."""

    def published(config: APDM) -> list[tuple[float, float]]:
        told: list[tuple[float, float]] = []
        protect_as_published(backbone, of, config, 0, lambda *losses: told.append(losses))
        return told

    def ours(config: APDM) -> list[tuple[float, float]]:
        told: list[tuple[float, float]] = []

        def watch(task: str, done: int, total: int, figures) -> None:
            if figures:
                told.append((figures["personalization_loss"], figures["protection_loss"]))

        protect(backbone, [of], config, 0, watch)
        return told

    return {"published": published, "ours": ours}


def apart(loops: Mapping[str, Callable[[S], object]], config: S) -> float:
    """The largest difference between the losses of both, relative to the yardstick's, which comes first."""
    yardstick, ours = (torch.tensor(run(config), dtype=torch.float64) for run in loops.values())
    return float(((yardstick - ours).abs() / yardstick.abs()).max())


def in_double(model: str, device: str) -> Backbone:
    """`model` with all its parts in float64."""
    backbone: Any = load(model, device)
    for part in backbone.pipeline.components.values():
        if isinstance(part, nn.Module):
            part.double()
    return backbone


def side_by_side(
    loops: Mapping[str, Callable[[S], object]], timed: S, short: S, steps: int, rounds: int, model: Backbone
) -> dict[str, object]:
    """Of both, whose yardstick comes first: `steps` of `timed` a second, in turns, and bytes of `short`."""
    took: dict[str, list[float]] = {name: [] for name in loops}
    for round_ in range(rounds):
        for name in sorted(loops, reverse=bool(round_ % 2)):
            took[name].append(seconds(loops[name], timed, model.device))
    each = [a / b for a, b in zip(*took.values(), strict=True)]
    loaded = sum(weight.nbytes for weight in model.network.parameters())  # both are given the model
    peak = {name: peak_bytes(run, short, model.device) + loaded for name, run in loops.items()}
    yardstick, ours = peak.values()
    return {
        "steps a second": {name: round(steps / median(t), 2) for name, t in took.items()},
        "speed ratio": {"median": round(median(each), 2), "all": [round(it, 2) for it in each]},
        "peak megabytes of tensors": {name: round(it / 1e6, 1) for name, it in peak.items()},
        "peak ratio": round(ours / yardstick, 2),
    }


def seconds(run: Callable[[S], object], config: S, device: torch.device) -> float:
    synchronise(device)
    started = time.perf_counter()
    run(config)
    synchronise(device)
    return time.perf_counter() - started


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_bytes(run: Callable[[S], object], config: S, device: torch.device) -> int:
    """The most that tensors made by `run` hold at one time: on a GPU its allocator's word, on a CPU the
    profiler's, which hears of every allocation and release."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run(config)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as heard:
        run(config)
    held = most = 0
    for event in heard.profiler.kineto_results.events():  # pyright: ignore[reportOptionalMemberAccess]
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def machine(device: str) -> dict[str, str | int]:
    """What it was measured on."""
    return {
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The flags of every benchmark that has a yardstick."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="toybox")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output_dir", type=Path, default=Path("runs/speed"))
    return parser


def tell(line: Mapping[str, object], log: Path) -> None:
    """Prints a line and adds it to `log`."""
    print(json.dumps(line, indent=2))
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as lines:
        lines.write(json.dumps(line) + "\n")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--outer_steps", type=int, default=2)
    parser.add_argument("--inner_steps", type=int, default=20)
    parser.add_argument("--double", action="store_true")
    args = parser.parse_args()
    backbone = load(args.model, args.device)
    loops, one_each = runs(backbone, material(backbone)), settings(args.batch, COMPARED, 1)
    differences = {"largest relative difference of losses": apart(loops, one_each)}
    if args.double:
        double = in_double(args.model, args.device)
        differences["the same in float64"] = apart(runs(double, material(double)), one_each)
    config = settings(args.batch, args.outer_steps, args.inner_steps)
    steps, short = args.outer_steps * args.inner_steps, settings(args.batch, 2, 2)
    line = {
        "model": args.model,
        **machine(args.device),
        "batch": args.batch,
        "outer_steps": args.outer_steps,
        "inner_steps": args.inner_steps,
        **differences,
        **side_by_side(loops, config, short, steps, args.rounds, backbone),
        "passes a sample and inner step": {"published": "8 F + 5 B", "ours": "7 F + 5 B"},
        "settings": {k: str(v) for k, v in asdict(config).items()},
    }
    tell(line, args.output_dir / "speed.jsonl")


if __name__ == "__main__":
    main()
