"""What `apdm estimate` says beside what is measured, stage by stage, on a CPU.

    python benchmarks/estimate_error.py                    # the Toybox and a tiny model of every family
    python benchmarks/estimate_error.py --narrow           # three of 142 to 248 million weights, 13 GB

Measured are the tensors that torch's profiler hears of, as in `protection_speed.py`, with the model's own on
top, which were there before it listened. A line for each model and protection.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from apdm.backbones.base import Backbone, Sampling
from apdm.backbones.load import load
from apdm.backbones.tiny import FAMILIES
from apdm.benchmark.estimate import CLASS, INSTANCE, Estimate, estimate
from apdm.protectors.material import ProtectionMaterial, protection_material
from apdm.protectors.table import PROTECTORS, Protector
from apdm.steps import State
from apdm.toybox import presets
from protection_speed import peak_bytes
from random_models import NARROW, narrow, random

PHOTOS = 4
METHODS = ("apdm", "apdm-published", "apdm-without-l2p", "ascent", "imma")
SAMPLING = Sampling(num_inference_steps=1)


def measured(backbone: Backbone, protector: Protector) -> dict[str, int]:
    """Bytes at most in each stage."""
    count, side = max(1, protector.settings.num_class_images), backbone.resolution
    made: list[ProtectionMaterial] = []
    parts = [part for part in backbone.pipeline.components.values() if isinstance(part, nn.Module)]  # pyright: ignore
    loaded = sum(it.nbytes for part in parts for it in (*part.parameters(), *part.buffers()))

    def peak(work: Callable[[object], object]) -> int:
        return peak_bytes(work, None, torch.device("cpu"))  # pyright: ignore[reportArgumentType]

    def encode(_: object) -> None:
        sets = (torch.zeros(number, 3, side, side) for number in (PHOTOS, PHOTOS, count))
        made.append(protection_material(backbone, *sets, INSTANCE, CLASS))

    def two(total: int, state: State) -> range:
        return range(min(2, total))

    prompts = [CLASS] * min(SAMPLING.sample_batch_size, count)
    drawing = peak(lambda _: backbone.generate(prompts, list(range(len(prompts))), SAMPLING))
    encoding = peak(encode)
    kept = sum(
        it.nbytes
        for images in (made[0].negatives, made[0].positives, made[0].prior)
        for it in (
            images.moments.mean,
            images.moments.deviation,
            images.pixels,
            *images.condition.parts.values(),
        )
        if it is not None
    )
    protecting = kept + peak(lambda _: protector(backbone, made[:1], 0, steps=two))
    return {"drawing": loaded + drawing, "encoding": loaded + encoding, "protecting": loaded + protecting}


Case = tuple[str, str, str, Protector]  # name and place of a model, name and settings of a protection


def cases(folder: Path) -> Iterator[Case]:
    """The Toybox in several ways, and a tiny model of every family; few inner steps, for time."""
    for method in METHODS:
        protector = PROTECTORS[method].using(presets.PROTECTIONS[method])
        if method == "apdm-published":
            protector = short(protector)
        yield "toybox", "toybox", method, protector
    for family, make in FAMILIES.items():
        make().save(folder / family)
        yield family, str(folder / family), "apdm", short(PROTECTORS["apdm"])


def narrow_cases(folder: Path) -> Iterator[Case]:
    for layout in NARROW:
        yield layout, narrow(layout, folder / layout), "apdm", short(PROTECTORS["apdm"], num_class_images=4)


def short(protector: Protector, **changes: int) -> Protector:
    return protector.using(replace(protector.settings, inner_steps=3, **changes))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--narrow", action="store_true")
    args = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        for name, place, method, protector in (narrow_cases if args.narrow else cases)(Path(folder)):
            said: Estimate = estimate(place, protector, PHOTOS, sampling=SAMPLING)
            backbone = random(place, "cpu") if args.narrow else load(place)
            millions = sum(it.numel() for it in backbone.network.parameters()) / 1e6
            for stage, value in measured(backbone, protector).items():
                apart = getattr(said, stage) / value - 1
                print(
                    f"{name:8} {millions:6.1f} M {method:18} {stage:10} {value / 1e6:8.1f} MB, "
                    f"estimate {apart:+.1%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
