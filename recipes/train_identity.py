"""Trains the Toybox's identity network: which toy is this, whatever the ground, light and view?

    python recipes/train_identity.py --work_dir runs/recipes

A small HF ViT, trained contrastively (InfoNCE, van den Oord et al. 2018) within one class at a time
on the judges' own toys. Half of the pictures have passed through the generator's autoencoder, and all
may be blurred, tinted, noisy or blotched: a judge of generated pictures must not mind their artefacts.
"""

from __future__ import annotations

import argparse
import json
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ViTConfig, ViTModel

from apdm.pixels import to_uint8
from apdm.seeding import generator
from apdm.toybox import world
from apdm.toybox.identity import CLASS_NOUNS, identity, stream
from apdm.toybox.seeds import Purpose
from train_vae import pixels
from training import Training

VIEWS = 5
TOYS = 1000  # a class, for training
TEST_TOYS = 100  # a class, for measuring; seeds after those of training
TEST_OFFSET = 150_000
TEMPERATURE = 0.1


def vit() -> ViTModel:
    return ViTModel(
        ViTConfig(
            image_size=64,
            patch_size=8,
            hidden_size=160,
            intermediate_size=480,
            num_hidden_layers=5,
            num_attention_heads=5,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        add_pooling_layer=False,
    )


def views(job: tuple[str, int]) -> np.ndarray:
    """[VIEWS 64 64 3] of one toy, the ground, sun and camera different in each."""
    class_noun, seed = job
    toy = identity(class_noun, seed)
    pictures = []
    for index in range(VIEWS):
        rng = stream("judge view", class_noun, seed, index)
        ground = list(world.GROUNDS)[int(rng.integers(len(world.GROUNDS)))]
        close = rng.uniform() < 0.2
        placed = world.Placed(toy, world.facing(rng, class_noun))
        scene = world.Scene((placed,), world.view(rng, ground, class_noun, close=close))
        pictures.append(world.render(scene))
    return np.stack(pictures)


def render_toys(work_dir: Path) -> dict[str, np.ndarray]:
    """{class noun: [toys views 64 64 3]} for training and, under "CLASS test", for measuring."""
    cache = work_dir / "judge_views.npz"
    if not cache.exists():
        seeds = {c: [Purpose.JUDGES.seed(i) for i in range(TOYS)] for c in CLASS_NOUNS}
        tests = {c: [Purpose.JUDGES.seed(TEST_OFFSET + i) for i in range(TEST_TOYS)] for c in CLASS_NOUNS}
        with Pool() as pool:
            sets = {
                c: np.stack(pool.map(views, [(c, s) for s in seeds[c]], chunksize=20)) for c in CLASS_NOUNS
            }
            for c in CLASS_NOUNS:
                sets[f"{c} test"] = np.stack(pool.map(views, [(c, s) for s in tests[c]], chunksize=20))
        np.savez(cache, **sets)
    stored = np.load(cache)
    return {name: stored[name] for name in stored.files}


@torch.no_grad()
def round_trip(pictures: np.ndarray, vae: AutoencoderKL, draws: torch.Generator) -> np.ndarray:
    """Pictures [n 64 64 3] through the autoencoder, with up to a quarter of noise in their latents."""
    made = []
    for start in range(0, len(pictures), 100):
        latents = vae.encode(pixels(pictures[start : start + 100])).latent_dist.mean
        amount = 0.25 * torch.rand(len(latents), 1, 1, 1, generator=draws) * latents.std()
        noisy = latents + amount * torch.randn(latents.shape, generator=draws)
        made.append(to_uint8(vae.decode(noisy).sample))
    return np.concatenate(made)


def round_trips(toys: dict[str, np.ndarray], vae: AutoencoderKL, work_dir: Path) -> dict[str, np.ndarray]:
    """Each picture of `toys` through the autoencoder by `round_trip`."""
    cache = work_dir / "judge_trips.npz"
    if not cache.exists():
        sets = {}
        for class_noun, pictures in toys.items():
            draws = generator(0, "round trips", class_noun)
            sets[class_noun] = round_trip(pictures.reshape(-1, 64, 64, 3), vae, draws).reshape(pictures.shape)
        np.savez(cache, **sets)
    stored = np.load(cache)
    return {name: stored[name] for name in stored.files}


def embed(model: nn.Module, pictures: Tensor) -> Tensor:
    return F.normalize(model(pixel_values=pictures).last_hidden_state[:, 0].float(), dim=1)


def disturb(pictures: Tensor, rng: np.random.Generator, draws: torch.Generator) -> Tensor:
    """Some of: blur, tint, brightness, noise, coloured blotches, mirroring."""
    spoilt = spoil(pictures, rng, draws)
    mirrored = torch.from_numpy(rng.uniform(size=(len(spoilt), 1, 1, 1)) < 0.5)
    return torch.where(mirrored, spoilt.flip(-1), spoilt)


def spoil(pictures: Tensor, rng: np.random.Generator, draws: torch.Generator) -> Tensor:
    """Some of: blur, tint, brightness, noise, coloured blotches."""
    n = len(pictures)
    with torch.no_grad():
        chance = lambda p: torch.from_numpy(rng.uniform(size=(n, 1, 1, 1)) < p).float()  # noqa: E731
        smooth = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        pictures = torch.lerp(pictures, smooth, chance(0.3))
        tint = torch.from_numpy(rng.uniform(-0.15, 0.15, (n, 3, 1, 1))).float()
        gain = torch.from_numpy(rng.uniform(0.85, 1.15, (n, 1, 1, 1))).float()
        pictures = torch.lerp(pictures, pictures * gain + tint, chance(0.5))
        blotches = F.interpolate(torch.randn(n, 3, 4, 4, generator=draws), 64, mode="bicubic")
        pictures = pictures + 0.12 * chance(0.3) * blotches
        pictures = pictures + 0.06 * chance(0.3) * torch.randn(pictures.shape, generator=draws)
        return pictures.clamp(-1, 1)


def measure(model: nn.Module, tests: dict[str, np.ndarray], vae: AutoencoderKL) -> dict[str, float]:
    """Within-class AUC on unseen toys, on pictures and on their reconstructions; mean cosines."""
    figures: dict[str, float] = {}
    for class_noun, pictures in tests.items():
        flat = pixels(pictures.reshape(-1, 64, 64, 3))
        with torch.no_grad():
            clean = torch.cat([embed(model, piece) for piece in flat.split(100)])
            again = torch.cat(
                [
                    embed(model, vae.decode(vae.encode(p).latent_dist.mean).sample.clamp(-1, 1))
                    for p in flat.split(100)
                ]
            )
        owner = torch.arange(len(pictures)).repeat_interleave(VIEWS)
        same = (owner[:, None] == owner) & ~torch.eye(len(owner), dtype=torch.bool)
        other = owner[:, None] != owner
        for name, queries in (("pictures", clean), ("reconstructions", again)):
            cosine = queries @ clean.T
            figures[f"{class_noun} AUC {name}"] = auc(cosine[same], cosine[other])
            figures[f"{class_noun} same {name}"] = float(cosine[same].mean())
            figures[f"{class_noun} other {name}"] = float(cosine[other].mean())
    return figures


def auc(higher: Tensor, lower: Tensor) -> float:
    """Chance that a value of `higher` exceeds one of `lower`."""
    ordered = lower.sort().values
    return float(torch.searchsorted(ordered, higher).double().mean() / len(ordered))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work_dir", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--steps", type=int, default=4600)
    parser.add_argument("--toys_per_batch", type=int, default=48)
    parser.add_argument("--learning_rate", type=float, default=6e-4)
    args = parser.parse_args()
    toys = render_toys(args.work_dir)
    tests = {c: toys.pop(f"{c} test") for c in CLASS_NOUNS}
    vae = AutoencoderKL.from_pretrained(args.work_dir / "vae").eval()
    trips = round_trips(toys, vae, args.work_dir)
    torch.manual_seed(0)
    model = vit()

    def loss(step: int) -> Tensor:
        rng, draws = stream("identity batch", step), generator(0, "identity", step)
        class_noun = CLASS_NOUNS[step % len(CLASS_NOUNS)]
        picked = rng.permutation(len(toys[class_noun]))[: args.toys_per_batch]
        two = np.stack([rng.permutation(VIEWS)[:2] for _ in picked])
        tripped = rng.uniform(size=(*two.shape, 1, 1, 1)) < 0.5
        where = (picked[:, None], two)
        pairs = np.where(tripped, trips[class_noun][where], toys[class_noun][where])  # [toys 2 64 64 3]
        pictures = disturb(pixels(np.concatenate([pairs[:, 0], pairs[:, 1]])), rng, draws)
        with torch.autocast("cpu", torch.bfloat16):
            first, second = embed(model, pictures).chunk(2)
        cosine = first @ second.T / TEMPERATURE
        label = torch.arange(len(picked))
        return (F.cross_entropy(cosine, label) + F.cross_entropy(cosine.T, label)) / 2

    training = Training(model, args.work_dir / "identity.safetensors", args.learning_rate, args.steps)
    training.run(loss)
    training.use_average()
    figures = measure(model.eval(), tests, vae)
    model.save_pretrained(args.work_dir / "identity")
    (args.work_dir / "identity-figures.json").write_text(json.dumps(figures, indent=1))
    for name, value in figures.items():
        print(f"{name} {value:.3f}")


if __name__ == "__main__":
    main()
