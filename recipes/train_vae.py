"""Trains the Toybox's autoencoder: 64x64 pixels to 8x8 latents of 16 channels and back.

    python recipes/train_vae.py --work_dir runs/recipes

Toys are the scenes of `render_scenes.py`; photographs are crops of those that scikit-image bundles.
First on 32x32 crops, where colours are learnt quickly; then on whole pictures, because the group
norms and the borders of crops differ from those of pictures.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from apdm.seeding import generator
from apdm.toybox.identity import stream
from training import Training

PHOTOGRAPHS = (
    "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png",
    "motorcycle_right.png", "retina.jpg", "hubble_deep_field.jpg", "grass.png", "camera.png",
)  # fmt: skip
PHOTO_SHARE = 0.3
KL_WEIGHT = 1e-6
HELD_OUT = 256  # the last scenes measure, they do not train


def autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=16,
        block_out_channels=(24, 48, 96, 96),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        mid_block_add_attention=False,
        sample_size=64,
    )


def photo_crops(count: int) -> np.ndarray:
    """Random square crops of the bundled photographs, reduced to 64x64: uint8 [count 64 64 3]."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise SystemExit("scikit-image is missing: pip install 'apdm[recipes]'")
    folder = Path(spec.origin).parent / "data"
    photos = [Image.open(folder / name).convert("RGB") for name in PHOTOGRAPHS]
    rng = stream("photo crops")
    crops = np.empty((count, 64, 64, 3), np.uint8)
    for crop in crops:
        photo = photos[int(rng.integers(len(photos)))]
        side = int(min(photo.size) * rng.uniform(0.2, 1.0))
        left = int(rng.integers(photo.width - side + 1))
        top = int(rng.integers(photo.height - side + 1))
        small = photo.resize((64, 64), Image.Resampling.LANCZOS, (left, top, left + side, top + side))
        crop[:] = np.asarray(small)[:, ::-1] if rng.uniform() < 0.5 else np.asarray(small)
    return crops


def pixels(pictures: np.ndarray) -> Tensor:
    """uint8 [n h w 3] to [-1, 1] [n 3 h w]."""
    tensor = torch.from_numpy(np.ascontiguousarray(pictures)).float().permute(0, 3, 1, 2)
    return (tensor / 127.5 - 1).contiguous(memory_format=torch.channels_last)


class Batches:
    """Toys and photographs, whole or cut to `side`."""

    def __init__(self, toys: np.ndarray, photos: np.ndarray, size: int, side: int) -> None:
        self.toys, self.photos, self.size, self.side = toys, photos, size, side

    def __call__(self, step: int) -> Tensor:
        rng = stream("vae batch", self.side, step)
        from_photos = round(PHOTO_SHARE * self.size)
        picked = np.concatenate(
            [
                self.toys[rng.integers(len(self.toys), size=self.size - from_photos)],
                self.photos[rng.integers(len(self.photos), size=from_photos)],
            ]
        )
        room = 64 - self.side + 1
        corners = rng.integers(room, size=(self.size, 2))
        cut = [p[y : y + self.side, x : x + self.side] for p, (y, x) in zip(picked, corners, strict=True)]
        return pixels(np.stack(cut))


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """L1 and differences of neighbours at three scales, plus four times the squared error."""
    loss = 4 * F.mse_loss(output, target)
    for _ in range(3):
        loss = loss + F.l1_loss(output, target)
        for axis in (2, 3):
            loss = loss + F.l1_loss(output.diff(dim=axis), target.diff(dim=axis))
        output, target = F.avg_pool2d(output, 2), F.avg_pool2d(target, 2)
    return loss


def psnr(vae: AutoencoderKL, pictures: np.ndarray) -> float:
    """Mean over pictures of the peak signal-to-noise ratio of mean reconstructions, dB on [0, 1]."""
    with torch.no_grad():
        target = pixels(pictures).to(vae.device)
        output = vae.decode(vae.encode(target).latent_dist.mean).sample.clamp(-1, 1)
        squared = ((output - target) / 2).square().mean(dim=(1, 2, 3))
        return float((-10 * squared.log10()).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work_dir", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--crop_steps", type=int, default=4000)
    parser.add_argument("--whole_steps", type=int, default=2500)
    parser.add_argument("--mixed_precision", choices=["no", "bf16"], default="bf16")
    args = parser.parse_args()
    torch.manual_seed(0)
    vae = autoencoder().to(memory_format=torch.channels_last)
    scenes = np.load(args.work_dir / "scenes.npy", mmap_mode="r")
    toys, held_out = scenes[:-HELD_OUT], scenes[-HELD_OUT:]
    photos = photo_crops(8000)

    def train(name: str, steps: int, batches: Batches, lr: float) -> None:
        def loss(step: int) -> Tensor:
            target = batches(step)
            with torch.autocast("cpu", torch.bfloat16, enabled=args.mixed_precision == "bf16"):
                posterior = vae.encode(target).latent_dist
                output = vae.decode(posterior.sample(generator(0, name, step))).sample
            return reconstruction_loss(output.float(), target) + KL_WEIGHT * posterior.kl().mean()

        def report(step: int) -> str:
            return f"toys {psnr(vae, held_out[:64]):.1f} dB" if step % 500 == 0 else ""

        training = Training(vae, args.work_dir / f"{name}.safetensors", lr, steps)
        training.run(loss, report)
        training.use_average()

    train("vae-crops", args.crop_steps, Batches(toys, photos, size=32, side=32), lr=2e-3)
    train("vae-whole", args.whole_steps, Batches(toys, photos, size=16, side=64), lr=6e-4)
    with torch.no_grad():
        latents = vae.encode(pixels(scenes[:2000])).latent_dist.sample(generator(0, "latent scale"))
    vae.register_to_config(scaling_factor=float(1 / latents.std()))
    vae.save_pretrained(args.work_dir / "vae")
    print(f"PSNR of held-out toys {psnr(vae, held_out):.2f} dB")


if __name__ == "__main__":
    main()
