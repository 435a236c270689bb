"""What a protection holds at most on its device, beside the published loop: rehearsed, so no GPU is needed.

    python benchmarks/memory.py                            # Stable Diffusion 1.5's size, published settings
    python benchmarks/memory.py --model toybox --output_dir runs/memory

Both loops are run as they are on tensors without numbers (`apdm estimate`), weights of text encoder and
autoencoder included; what `--offload` keeps on the host is not counted. In float32 where not said otherwise;
8-bit Adam wants the extra apdm[8bit]. Writes memory.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from apdm.backbones.base import Sampling
from apdm.backbones.execution import Execution
from apdm.benchmark.estimate import estimate
from apdm.errors import InputError
from apdm.protectors.apdm import PUBLISHED
from apdm.protectors.table import PROTECTORS, Protector
from published_loop import protect_as_published
from random_models import sd15

SHORT = replace(PUBLISHED, outer_steps=2, inner_steps=2, num_class_images=4)
CHECKPOINTED, OFFLOADED = {"gradient_checkpointing": True}, {"offload": True}
BF16, IN_8_BITS = {"mixed_precision": "bf16"}, {"use_8bit_adam": True}
WAYS = {
    "ours": {},
    "ours, bf16": BF16,
    "ours, 8-bit Adam": IN_8_BITS,
    "ours, checkpointed": CHECKPOINTED,
    "ours, offloaded": OFFLOADED,
    "ours, both": CHECKPOINTED | OFFLOADED,
    "ours, both, bf16": CHECKPOINTED | OFFLOADED | BF16,
    "ours, all four": CHECKPOINTED | OFFLOADED | BF16 | IN_8_BITS,
}


def as_published(backbone, subjects, settings, seed, watch, steps):
    return protect_as_published(backbone, *subjects, settings, seed, lambda *losses: None)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model")
    parser.add_argument("--output_dir", type=Path, default=Path("docs/results"))
    args = parser.parse_args()
    peak: dict[str, int] = {}

    def held(protector: Protector, execution: Execution = Execution()) -> int:
        one = Sampling(num_inference_steps=1, sample_batch_size=1)
        return estimate(model, protector, 4, sampling=one, execution=execution).protecting

    with tempfile.TemporaryDirectory() as folder:
        model = args.model or sd15(Path(folder) / "sd15")
        published = peak["published"] = held(Protector("the published loop", SHORT, as_published))
        print(f"{'published':20} {published / 1e9:6.2f} GB", flush=True)
        for name, flags in WAYS.items():
            try:
                ours = peak[name] = held(PROTECTORS["apdm"].using(SHORT), Execution(**flags))
                print(f"{name:20} {ours / 1e9:6.2f} GB, {ours / published:.0%}", flush=True)
            except InputError as error:
                print(f"{name:20} {error}")
    found = {
        "model": args.model or "Stable Diffusion 1.5's size",
        "torch": torch.__version__,
        "peak gigabytes": {name: round(size / 1e9, 3) for name, size in peak.items()},
        "peak ratio": {name: round(size / published, 3) for name, size in peak.items()},
    }
    args.output_dir.mkdir(parents=True, exist_ok=True)
    (args.output_dir / "memory.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
