"""Measures the trained pipeline on toys it has never seen and writes the figures for its card.

    python recipes/measure_generator.py --work_dir runs/recipes --photos DIR

- reconstruction: PSNR of the autoencoder on renders of tuning toys, and on photographs if given;
- error: the denoising error on captioned scenes of tuning toys;
- hearing: how much an unheard identifier changes the prediction, relative to a colour word.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from apdm import pixels
from apdm.backbones.base import Backbone, draw_noise
from apdm.backbones.load import load
from apdm.losses.denoising import denoising_error
from apdm.seeding import generator
from apdm.toybox import captions, world
from apdm.toybox.identity import identity, stream
from apdm.toybox.seeds import Purpose
from train_vae import psnr

SCENES = 256
IDENTIFIERS = ("sks", "t@t", "ohwx")
COLOURS = ("gray", "white", "orange")
CLASSES = ("dog", "cat")


def tuning_scenes() -> tuple[np.ndarray, list[str]]:
    described = [captions.scene(stream("measured scene", i), Purpose.TUNING) for i in range(SCENES)]
    return np.stack([world.render(d.scene) for d in described]), [d.caption for d in described]


@torch.no_grad()
def held_out_error(backbone: Backbone, pictures: np.ndarray, said: list[str]) -> float:
    draws = generator(0, "held-out error")
    moments = backbone.encode_images(pixels.from_uint8(pictures))
    clean = moments.sample(torch.arange(len(said)), draws)
    noise, t = draw_noise(clean, draws), backbone.schedule.sample_times(len(said), draws)
    return float(denoising_error(backbone, clean, backbone.encode_prompts(said), noise, t).mean())


@torch.no_grad()
def change(backbone: Backbone, class_noun: str, word: str) -> float:
    """|prediction("a photo of WORD CLASS") - prediction("a photo of CLASS")| / |the latter|, on toys."""
    draws = generator(0, "hearing", class_noun)
    toys = [identity(class_noun, Purpose.TUNING.seed(i)) for i in range(32)]
    views = np.stack([world.render(world.portrait(t, Purpose.TUNING.seed(i), 0)) for i, t in enumerate(toys)])
    clean = backbone.encode_images(pixels.from_uint8(views)).sample(torch.arange(32), draws)
    noise, t = draw_noise(clean, draws), backbone.schedule.sample_times(32, draws)
    noisy = backbone.schedule.add_noise(clean, noise, t)
    plain, spoken = (
        backbone.predict(noisy, t, backbone.encode_prompts([f"a photo of {said}"] * 32))
        for said in (class_noun, f"{word} {class_noun}")
    )
    return float((spoken - plain).norm() / plain.norm())


def hearing(backbone: Backbone) -> dict[str, float]:
    """Mean relative change by identifiers, by colour words, and their ratio."""
    unheard = np.mean([change(backbone, c, word) for c in CLASSES for word in IDENTIFIERS])
    colour = np.mean([change(backbone, c, word) for c in CLASSES for word in COLOURS])
    return {"identifier": float(unheard), "colour": float(colour), "ratio": float(unheard / colour)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work_dir", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--photos", type=Path, help="folder of folders of photographs")
    args = parser.parse_args()
    backbone = load(str(args.work_dir / "generator"))
    vae = backbone.pipeline.vae  # pyright: ignore[reportAttributeAccessIssue]
    pictures, said = tuning_scenes()
    figures: dict[str, object] = {
        "psnr_toys": psnr(vae, pictures),
        "held_out_error": held_out_error(backbone, pictures, said),
        "hearing": hearing(backbone),
    }
    if args.photos:
        paths = sorted(p for p in args.photos.rglob("*.jpg"))
        figures["psnr_photographs"] = psnr(vae, pixels.to_uint8(pixels.load(paths, 64)))
        figures["photographs"] = len(paths)
    (args.work_dir / "generator-figures.json").write_text(json.dumps(figures, indent=1))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
