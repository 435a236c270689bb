"""What a protection holds at most on its device, beside the published loop: rehearsed, so no GPU is needed.

    python benchmarks/memory.py                            # Stable Diffusion 1.5's size, published settings
    python benchmarks/memory.py --model toybox

Both loops are run as they are on tensors without numbers (`apdm estimate`), weights of text encoder and
autoencoder included; what `--offload` keeps on the host is not counted. In float32 where not said otherwise.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from apdm.backbones.base import Sampling
from apdm.backbones.execution import Execution
from apdm.backbones.single_file import CONFIGS, clip_tokenizer
from apdm.benchmark.estimate import estimate
from apdm.protectors.apdm import PUBLISHED
from apdm.protectors.table import PROTECTORS, Protector
from published_loop import protect_as_published

SHORT = replace(PUBLISHED, outer_steps=2, inner_steps=2, num_class_images=4)
WAYS = {
    "ours": Execution(),
    "ours, checkpointed": Execution(gradient_checkpointing=True),
    "ours, offloaded": Execution(offload=True),
    "ours, both": Execution(gradient_checkpointing=True, offload=True),
    "ours, both, bf16": Execution("bf16", gradient_checkpointing=True, offload=True),
}


def as_published(backbone, material, settings, seed, watch, steps):
    return protect_as_published(backbone, material, settings, seed, lambda *losses: None)


def sd15(folder: Path) -> str:
    """A folder of Stable Diffusion 1.5's configs, in which the weights are missing."""
    shutil.copytree(CONFIGS / "sd1", folder)
    clip_tokenizer("<|endoftext|>").save_pretrained(folder / "tokenizer")
    for part in ("unet", "vae", "text_encoder"):
        save_file({"none": torch.zeros(1)}, folder / part / "model.safetensors")
    return str(folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model")
    args = parser.parse_args()

    def held(protector: Protector, execution: Execution = Execution()) -> int:
        one = Sampling(num_inference_steps=1, sample_batch_size=1)
        return estimate(model, protector, 4, sampling=one, execution=execution).protecting

    with tempfile.TemporaryDirectory() as folder:
        model = args.model or sd15(Path(folder) / "sd15")
        published = held(Protector("the published loop", SHORT, as_published))
        print(f"{'the published loop':20} {published / 1e9:6.2f} GB")
        for name, execution in WAYS.items():
            ours = held(PROTECTORS["apdm"].using(SHORT), execution)
            print(f"{name:20} {ours / 1e9:6.2f} GB, {ours / published:.0%}", flush=True)


if __name__ == "__main__":
    main()
