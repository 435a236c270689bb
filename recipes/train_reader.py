"""Trains the Toybox's reader: which class, main colour and ground does a picture of one toy show?

    python recipes/train_reader.py --work_dir runs/recipes

An HF ViT with one group of labels for each question, trained on the same pictures of the judges' own toys
as the identity network, half of them through the autoencoder, all of them disturbed: it is to read generated
pictures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ViTConfig, ViTForImageClassification

from apdm.seeding import generator
from apdm.toybox.identity import CLASS_NOUNS, FUR, PAINT, identity, main_colour, stream
from apdm.toybox.seeds import Purpose
from apdm.toybox.world import GROUNDS
from train_identity import TEST_OFFSET, VIEWS, disturb, render_toys, round_trips
from train_vae import pixels
from training import Training

QUESTIONS = {
    "class": list(CLASS_NOUNS),
    "colour": list(dict.fromkeys([*FUR, *PAINT])),
    "ground": list(GROUNDS),
}


def reader() -> ViTForImageClassification:
    answers = [f"{question}: {answer}" for question, known in QUESTIONS.items() for answer in known]
    return ViTForImageClassification(
        ViTConfig(
            image_size=64,
            patch_size=8,
            hidden_size=160,
            intermediate_size=480,
            num_hidden_layers=5,
            num_attention_heads=5,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            id2label=dict(enumerate(answers)),
            label2id={answer: index for index, answer in enumerate(answers)},
        )
    )


def by_question(logits: Tensor) -> dict[str, Tensor]:
    """The logits [b answers] of each question by itself."""
    pieces = logits.float().split([len(known) for known in QUESTIONS.values()], dim=1)
    return dict(zip(QUESTIONS, pieces, strict=True))


def answers(class_noun: str, seed: int) -> list[tuple[int, int, int]]:
    """What each of the toy's pictures by `train_identity.views` shows: class, colour, ground."""
    colour = main_colour(identity(class_noun, seed)).word
    grounds = [int(stream("judge view", class_noun, seed, i).integers(len(GROUNDS))) for i in range(VIEWS)]
    return [(CLASS_NOUNS.index(class_noun), QUESTIONS["colour"].index(colour), g) for g in grounds]


def labels(toys: dict[str, np.ndarray], offset: int) -> Tensor:
    """[pictures 3], in the order of the pictures of all classes laid end to end."""
    told = [answers(c, Purpose.JUDGES.seed(offset + i)) for c in CLASS_NOUNS for i in range(len(toys[c]))]
    return torch.tensor(told).flatten(0, 1)


def flat(toys: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([toys[c].reshape(-1, 64, 64, 3) for c in CLASS_NOUNS])


@torch.no_grad()
def measure(model: nn.Module, pictures: np.ndarray, wanted: Tensor, vae: AutoencoderKL) -> dict[str, float]:
    """Share of right answers on unseen toys, on pictures and on their reconstructions."""
    figures = {}
    for name in ("pictures", "reconstructions"):
        right = []
        for piece, told in zip(pixels(pictures).split(100), wanted.split(100), strict=True):
            if name == "reconstructions":
                piece = vae.decode(vae.encode(piece).latent_dist.mean).sample.clamp(-1, 1)
            read = by_question(model(pixel_values=piece).logits)
            right.append(torch.stack([read[q].argmax(1) for q in QUESTIONS], dim=1) == told)
        for question, share in zip(QUESTIONS, torch.cat(right).double().mean(0).tolist(), strict=True):
            figures[f"{question} {name}"] = share
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work_dir", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--train_batch_size", type=int, default=128)
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    args = parser.parse_args()
    toys = render_toys(args.work_dir)
    tests = {c: toys.pop(f"{c} test") for c in CLASS_NOUNS}
    vae = AutoencoderKL.from_pretrained(args.work_dir / "vae").eval()
    sources = [flat(toys), flat(round_trips(toys, vae, args.work_dir))]
    wanted = labels(toys, 0)
    torch.manual_seed(0)
    model = reader()

    def loss(step: int) -> Tensor:
        rng, draws = stream("reader batch", step), generator(0, "reader", step)
        picked = rng.integers(len(wanted), size=args.train_batch_size)
        tripped = rng.uniform(size=(len(picked), 1, 1, 1)) < 0.5
        shown = np.where(tripped, sources[1][picked], sources[0][picked])
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(pixel_values=disturb(pixels(shown), rng, draws)).logits
        read, told = by_question(logits), wanted[torch.from_numpy(picked)]
        return torch.stack([F.cross_entropy(read[q], told[:, i]) for i, q in enumerate(QUESTIONS)]).sum()

    training = Training(model, args.work_dir / "reader.safetensors", args.learning_rate, args.steps)
    training.run(loss)
    training.use_average()
    figures = measure(model.eval(), flat(tests), labels(tests, TEST_OFFSET), vae)
    model.save_pretrained(args.work_dir / "reader")
    (args.work_dir / "reader-figures.json").write_text(json.dumps(figures, indent=1))
    for name, value in figures.items():
        print(f"{name} {value:.3f}")


if __name__ == "__main__":
    main()
