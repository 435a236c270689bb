"""Seconds and memory of a protection at Stable Diffusion 1.5's size, beside the published loop, on one GPU.

    python benchmarks/real_size.py                         # random weights, published settings, batch 1
    python benchmarks/real_size.py --model MODEL --ways "published, fp32" "ours, bf16"

Every way runs the published settings (one look-ahead of 20 inner steps, batch 1) on the same model, one after
the other in one process, once to warm up and then `--rounds` times: seconds an inner step are the median; of
ours from the first inner step on, for copies and a bank are made once in 800 look-aheads. Bytes are the
allocator's, with autoencoder, text encoder and reference in them; beside them what `apdm estimate` says. Both
loops' losses are compared first, in float32. A line of real-size.jsonl in --output_dir for each way, as soon
as it is known.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch

from apdm.backbones.base import Backbone, Sampling
from apdm.backbones.execution import Execution
from apdm.backbones.load import load
from apdm.benchmark.estimate import estimate
from apdm.protectors.apdm import PUBLISHED, protect
from apdm.protectors.material import ProtectionMaterial
from apdm.protectors.table import PROTECTORS, Protector
from memory import as_published
from protection_speed import machine, material, runs, synchronise
from published_loop import protect_as_published
from random_models import random, sd15

CLASS_IMAGES = 16  # that `protection_speed.material` has
COMPARED = 10  # inner steps whose losses are compared


@dataclass(frozen=True)
class Way:
    """How a protection is run."""

    execution: Execution = Execution()
    published: bool = False
    reference_draws: int = 0
    channels_last: bool = False


WAYS = {
    "published, fp32": Way(published=True),
    "published, bf16": Way(Execution("bf16"), published=True),
    "ours, fp32": Way(),
    "ours, bf16": Way(Execution("bf16")),
    "ours, bf16, channels last": Way(Execution("bf16"), channels_last=True),
    "ours, bf16, bank": Way(Execution("bf16"), reference_draws=64),
    "ours, fp32, checkpointed, offloaded": Way(Execution(gradient_checkpointing=True, offload=True)),
    "ours, bf16, checkpointed, offloaded": Way(Execution("bf16", gradient_checkpointing=True, offload=True)),
    "ours, bf16, compiled": Way(Execution("bf16", compile=True)),
    "ours, bf16, compiled, bank": Way(Execution("bf16", compile=True), reference_draws=64),
}


def walk(backbone: Backbone, of: ProtectionMaterial, way: Way, look_aheads: int, steps: int) -> float:
    """Seconds of some look-aheads."""
    config = replace(
        PUBLISHED, outer_steps=look_aheads, inner_steps=steps, reference_draws=way.reference_draws
    )
    began = time.perf_counter()

    def watch(task: str, done: int, total: int, figures: object) -> None:
        nonlocal began
        if done == 0:
            synchronise(backbone.device)
            began = time.perf_counter()

    if way.published:
        protect_as_published(backbone, of, config, 0, lambda *losses: None)
    else:
        protect(backbone, [of], config, 0, watch)
    synchronise(backbone.device)
    return time.perf_counter() - began


def measured(
    backbone: Backbone, of: ProtectionMaterial, way: Way, steps: int, rounds: int
) -> dict[str, float]:
    """Seconds an inner step, those that warming up took, and bytes at most."""
    backbone.run_as(way.execution)
    order = torch.channels_last if way.channels_last else torch.contiguous_format
    backbone.network.to(memory_format=order)  # pyright: ignore[reportCallIssue]
    on_gpu = backbone.device.type == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(backbone.device)
    warm = walk(backbone, of, way, 2, 2)  # in the second look-ahead all that lasts is there
    peak = torch.cuda.max_memory_allocated(backbone.device) if on_gpu else 0
    took = [walk(backbone, of, way, 1, steps) / steps for _ in range(rounds)]
    return {"seconds an inner step": median(took), "warming up": round(warm, 1), "peak bytes": peak}


def estimated(folder: str, way: Way, side: int | None) -> int:
    """Bytes at most, as they are rehearsed on pictures of `side` pixels or the model's own."""
    short = replace(PUBLISHED, outer_steps=2, inner_steps=2, num_class_images=CLASS_IMAGES)
    ours = PROTECTORS["apdm"].using(replace(short, reference_draws=way.reference_draws))
    protector = Protector("the published loop", short, as_published) if way.published else ours
    one = Sampling(num_inference_steps=1, sample_batch_size=1)
    return estimate(folder, protector, 4, side, one, way.execution).protecting


def largest_difference(backbone: Backbone, of: ProtectionMaterial) -> float:
    """Of the two loops' losses, relative, each step from the weights as they are."""
    config = replace(PUBLISHED, outer_steps=COMPARED, inner_steps=1)
    published, ours = (torch.tensor(run(config)) for run in runs(backbone, of).values())
    return float(((published - ours).abs() / published.abs()).max())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--side", type=int, help="pixels; the model's own if left out")
    parser.add_argument("--inner_steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--output_dir", type=Path, default=Path("runs/speed"))
    args = parser.parse_args()
    args.output_dir.mkdir(parents=True, exist_ok=True)

    def write(way: str, found: dict[str, float]) -> None:
        line = {"model": args.model or "SD 1.5's size", "way": way, **found, **machine(args.device)}
        print(json.dumps(line), flush=True)
        with (args.output_dir / "real-size.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        model = args.model or sd15(Path(folder) / "sd15")
        backbone = load(model, args.device) if args.model else random(model, args.device)
        of = material(backbone, args.side)
        write("both loops", {"largest relative difference of losses": largest_difference(backbone, of)})
        for name in args.ways:
            found = measured(backbone, of, WAYS[name], args.inner_steps, args.rounds)
            write(name, {**found, "estimated bytes": estimated(model, WAYS[name], args.side)})


if __name__ == "__main__":
    main()
