"""What `apdm estimate` says beside what is measured, stage by stage, on a CPU.

    python benchmarks/estimate_error.py                    # the Toybox and a tiny model of every family

Measured are the tensors that torch's profiler hears of, as in `protection_speed.py`, with the model's own on
top, which were there before it listened. A line for each model and protection.
"""

from __future__ import annotations

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


def cases(folder: Path) -> Iterator[tuple[str, str, str, Protector]]:
    """Name and place of a model, name and settings of a protection; few inner steps, for time."""
    for method in METHODS:
        protector = PROTECTORS[method].using(presets.PROTECTIONS[method])
        if method == "apdm-published":
            protector = protector.using(replace(presets.PROTECTIONS[method], inner_steps=3))
        yield "toybox", "toybox", method, protector
    for family, make in FAMILIES.items():
        make().save(folder / family)
        protector = PROTECTORS["apdm"]
        yield (
            family,
            str(folder / family),
            "apdm",
            protector.using(replace(protector.settings, inner_steps=3)),
        )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, place, method, protector in cases(Path(folder)):
            said: Estimate = estimate(place, protector, PHOTOS, sampling=SAMPLING)
            found = measured(load(place), protector)
            for stage, value in found.items():
                apart = getattr(said, stage) / value - 1
                print(f"{name:8} {method:18} {stage:10} {value / 1e6:7.1f} MB, estimate {apart:+.1%}")


if __name__ == "__main__":
    main()
