"""Speed and memory of the DreamBooth attack beside the loop of diffusers' script, in one process.

    python benchmarks/dreambooth_speed.py                  # the Toybox, batch of 1 and 1
    python benchmarks/dreambooth_speed.py --model MODEL --device cuda

The script's loop is written anew from a description: pictures and prompts go through the autoencoder and the
text encoder at every step, subject and class in one batch; plain AdamW, gradients clipped. Reading and
resizing the files, which the script does at every step too, is left out. Same draws as ours, so losses are
compared step by step; then both are timed in turns, and the tensors that each holds at most are added up. A
line of dreambooth.jsonl in --output_dir.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch.nn.functional import mse_loss

from apdm.backbones.base import Backbone, EncodedImages, draw_noise
from apdm.backbones.load import load
from apdm.optimizers import BETAS, EPSILON, WEIGHT_DECAY
from apdm.personalizers.base import Material, personalize
from apdm.personalizers.dreambooth import DreamBooth
from apdm.seeding import generator
from apdm.toybox import presets
from protection_speed import COMPARED, apart, arguments, machine, material, side_by_side, tell

Told = Callable[[float], None]


def as_in_the_script(
    backbone: Backbone, material: Material, attack: DreamBooth, seed: int, told: Told
) -> Backbone:
    """`personalize`'s numbers, in the script's way; `told` hears the loss of each step."""
    assert material.prior is not None
    attacked = backbone.copy()
    weights = list(attacked.network.requires_grad_(True).parameters())
    optimizer = torch.optim.AdamW(
        weights, attack.learning_rate, betas=BETAS, weight_decay=WEIGHT_DECAY, eps=EPSILON
    )
    for step in range(attack.max_train_steps):
        loss = script_loss(
            attacked, material.instance, material.prior, attack, generator(seed, "personalize", step)
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, attack.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        told(loss.item())
    attacked.network.requires_grad_(False)
    return attacked


def script_loss(
    model: Backbone, instance: EncodedImages, prior: EncodedImages, attack: DreamBooth, draws: torch.Generator
) -> torch.Tensor:
    size = attack.train_batch_size
    pixels, of_posterior = [], []
    for images in (instance, prior):
        assert images.pixels is not None
        pixels.append(images.pixels[images.choose(size, draws)])
        of_posterior.append(draw_noise(images.moments.mean[:1].expand(size, -1, -1, -1), draws))
    with torch.no_grad():
        moments = model.encode_images(torch.cat(pixels))
        clean = moments.mean + moments.deviation * torch.cat(of_posterior)
        condition = model.encode_prompts([instance.prompt] * size + [prior.prompt] * size)
    noise, t = draw_noise(clean, draws), model.schedule.sample_times(2 * size, draws)
    predicted = model.predict(model.schedule.add_noise(clean, noise, t), t, condition)
    of_subject, of_class = predicted.chunk(2)
    target, class_target = model.schedule.target(clean, noise, t).chunk(2)
    return mse_loss(of_subject, target) + attack.prior_loss_weight * mse_loss(of_class, class_target)


def runs(backbone: Backbone, of: Material) -> dict[str, Callable[[DreamBooth], list[float]]]:
    """Both loops; each tells the losses of its steps."""

    def script(attack: DreamBooth) -> list[float]:
        told: list[float] = []
        as_in_the_script(backbone, of, attack, 0, told.append)
        return told

    def ours(attack: DreamBooth) -> list[float]:
        told: list[float] = []

        def watch(task: str, done: int, total: int, figures) -> None:
            told.extend(figures.values())

        personalize(backbone, attack, of, 0, watch)
        return told

    return {"script": script, "ours": ours}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--steps", type=int, default=50)
    args = parser.parse_args()
    backbone = load(args.model, args.device)
    loops = runs(backbone, material(backbone).attack)
    attack = DreamBooth(presets.ATTACK.learning_rate, COMPARED, args.batch)
    timed, short = (replace(attack, max_train_steps=steps) for steps in (args.steps, 2))
    line = {
        "model": args.model,
        **machine(args.device),
        "batch": args.batch,
        "largest relative difference of losses": apart(loops, attack),
        **side_by_side(loops, timed, short, args.steps, args.rounds, backbone),
    }
    tell(line, args.output_dir / "dreambooth.jsonl")


if __name__ == "__main__":
    main()
