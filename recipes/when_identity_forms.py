"""At which noise levels does an attacked model write the subject into a picture?

    python recipes/when_identity_forms.py dog 400001

A tuning toy is taught by the frozen evaluation's attack. Pictures are then drawn by two models in turns: the
attacked one under "a photo of sks dog" up to a time, the unprotected one under "a photo of dog" after it, and
the other way round. A line of identity.jsonl in --output_dir: likeness to the toy's held-out photos for each
number of sampling steps before the change.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from apdm.backbones.base import Condition
from apdm.backbones.load import load
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.benchmark.frozen.scenario import read_scenario
from apdm.metrics.judges import TOYBOX, judge
from apdm.metrics.similarity import per_image_similarity
from apdm.personalizers.base import Material, class_images, personalize
from apdm.seeding import derive
from apdm.toybox import presets
from apdm.toybox.seeds import Purpose
from apdm.toybox.subjects import toy_subject
from apdm.types import Pixels

SCENARIO = read_scenario(Path(__file__).parents[1] / "scenarios" / "protection.toml")
CHANGES = (0, 1, 2, 3, 5, 8, 12, presets.SAMPLING.num_inference_steps)
PICTURES = 16

Painter = tuple[StableDiffusion, Condition]  # who draws, and under which prompt


@torch.no_grad()
def in_turns(first: Painter, second: Painter, change: int) -> Pixels:
    """Guided pictures whose first `change` sampling steps are `first`'s and the others `second`'s."""
    model = first[0]
    scheduler: Any = model.pipeline.scheduler
    scheduler.set_timesteps(presets.SAMPLING.num_inference_steps)
    side, channels = model.network.config["sample_size"], model.network.config["in_channels"]
    streams = [torch.Generator().manual_seed(derive(0, "in turns", number)) for number in range(PICTURES)]
    latents = torch.stack([torch.randn(channels, side, side, generator=stream) for stream in streams])
    nothing = model.encode_prompts([""]).repeat(PICTURES)
    for step, time in enumerate(scheduler.timesteps):
        painter, condition = first if step < change else second
        t = torch.full((PICTURES,), int(time))
        told = painter.predict(latents, t, condition.repeat(PICTURES))
        free = painter.predict(latents, t, nothing)
        guided = free + presets.SAMPLING.guidance_scale * (told - free)
        latents = scheduler.step(guided, time, latents).prev_sample
    vae = model.pipeline.vae
    return vae.decode(latents / vae.config["scaling_factor"]).sample.clamp(-1, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("class_noun")
    parser.add_argument("seed", type=int)
    parser.add_argument("--output_dir", type=Path, default=Path("runs/search"))
    args = parser.parse_args()
    backbone, eye = load("toybox"), judge(TOYBOX)
    assert isinstance(backbone, StableDiffusion)
    name = f"{args.class_noun}-{args.seed}"
    toy = toy_subject(args.output_dir / "toys" / name, args.class_noun, args.seed, Purpose.TUNING)
    count = SCENARIO.class_images
    prior = class_images(backbone, toy.class_prompt, count, SCENARIO.seed, presets.SAMPLING)
    material = Material(
        backbone.encode(toy.pixels("attack", 64), toy.instance_prompt),
        backbone.encode(prior, toy.class_prompt),
    )
    attacked = personalize(backbone, SCENARIO.attack, material, 0)
    assert isinstance(attacked, StableDiffusion)
    taught: Painter = (attacked, backbone.encode_prompts([toy.instance_prompt]))
    free: Painter = (backbone, backbone.encode_prompts([toy.class_prompt]))
    held_out = toy.pixels("held_out", 64)

    def likeness(first: Painter, second: Painter, change: int) -> float:
        pictures = in_turns(first, second, change)
        return round(float(per_image_similarity(eye, pictures, held_out).mean()), 3)

    line = json.dumps(
        {
            "toy": name,
            "attacked first": {change: likeness(taught, free, change) for change in CHANGES},
            "attacked last": {change: likeness(free, taught, change) for change in CHANGES},
        }
    )
    print(line, flush=True)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    with (args.output_dir / "identity.jsonl").open("a") as log:
        log.write(line + "\n")


if __name__ == "__main__":
    main()
