"""Trains the Toybox's text encoder and UNet on the latents of `train_vae.py` and saves the pipeline.

    python recipes/train_generator.py --work_dir runs/recipes

The objective is Stable Diffusion's (epsilon, scaled-linear schedule of 1000 steps), weighted by
min(SNR, 5)/SNR (Hang et al. 2023) for speed; a tenth of the captions is empty for guidance.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from apdm.backbones.tokenizer import word_tokenizer
from apdm.seeding import generator
from apdm.toybox import captions
from apdm.toybox.identity import stream
from train_vae import pixels
from training import Training

WIDTH = 128
MAX_TOKENS = 32
EMPTY_SHARE = 0.1
SNR_CEILING = 5.0


def tokenizer(said: list[str]) -> CLIPTokenizer:
    """Whole words for the captions' vocabulary; names are spelt, as an unheard identifier will be."""
    words = {word for caption in said for word in caption.split()} - set(captions.names())
    return word_tokenizer(words, MAX_TOKENS)


def text_encoder(vocabulary: int) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=WIDTH,
            bos_token_id=vocabulary - 2,
            eos_token_id=vocabulary - 1,
            pad_token_id=vocabulary - 1,
        )
    )


def unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=16,
        out_channels=16,
        block_out_channels=(128, 192),
        layers_per_block=1,
        norm_num_groups=32,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )


def scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def latent_moments(vae: AutoencoderKL, pictures: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and deviation of every scene's scaled latents, [n 16 8 8] each, half precision."""
    means, deviations = [], []
    with torch.no_grad():
        for start in range(0, len(pictures), 100):
            posterior = vae.encode(pixels(pictures[start : start + 100])).latent_dist
            means.append((posterior.mean * vae.config["scaling_factor"]).half())
            deviations.append((posterior.std * vae.config["scaling_factor"]).half())
    return torch.cat(means), torch.cat(deviations)


class Generator(nn.Module):
    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.text_encoder = text_encoder(vocabulary)
        self.unet = unet().to(memory_format=torch.channels_last)


def restore_unused_rows(embedding: nn.Embedding, used: Tensor) -> None:
    """Gives tokens that no caption held the usual norm, lest a new word be fainter than the others."""
    with torch.no_grad():
        norms = embedding.weight.norm(dim=1)
        unused = torch.ones(len(norms), dtype=torch.bool)
        unused[used] = False
        factor = norms[used].median() / norms[unused].clamp(min=1e-6)
        embedding.weight[unused] *= factor[:, None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work_dir", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--steps", type=int, default=21_000)
    parser.add_argument("--train_batch_size", type=int, default=64)
    parser.add_argument("--learning_rate", type=float, default=8e-4)
    parser.add_argument("--mixed_precision", choices=["no", "bf16"], default="bf16")
    args = parser.parse_args()

    said: list[str] = json.loads((args.work_dir / "captions.json").read_text())
    words = tokenizer(said)
    vae = AutoencoderKL.from_pretrained(args.work_dir / "vae").eval()
    cache = args.work_dir / "moments.pt.npz"
    if not cache.exists():
        mean, deviation = latent_moments(vae, np.load(args.work_dir / "scenes.npy", mmap_mode="r"))
        np.savez(cache, mean=mean.numpy(), deviation=deviation.numpy())
    stored = np.load(cache)
    mean, deviation = torch.from_numpy(stored["mean"]), torch.from_numpy(stored["deviation"])

    padding = {"padding": "max_length", "truncation": True, "max_length": MAX_TOKENS, "return_tensors": "pt"}
    ids = words(said, **padding).input_ids
    empty = words([""], **padding).input_ids
    noise_schedule = scheduler()
    kept = noise_schedule.alphas_cumprod
    snr = kept / (1 - kept)

    torch.manual_seed(0)
    model = Generator(len(words))

    def loss(step: int) -> Tensor:
        rng, draws = stream("generator batch", step), generator(0, "generator", step)
        picked = torch.from_numpy(rng.integers(len(ids), size=args.train_batch_size))
        silent = torch.from_numpy(rng.uniform(size=args.train_batch_size) < EMPTY_SHARE)
        tokens = torch.where(silent[:, None], empty, ids[picked])
        noise = torch.randn(mean[picked].shape, generator=draws)
        latents = mean[picked].float() + deviation[picked].float() * torch.randn(noise.shape, generator=draws)
        t = torch.randint(1000, (args.train_batch_size,), generator=draws)
        noisy = noise_schedule.add_noise(latents, noise, t).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.mixed_precision == "bf16"):
            predicted = model.unet(noisy, t, model.text_encoder(tokens)[0]).sample.float()
        weight = (SNR_CEILING / snr[t]).clamp(max=1.0)
        return ((predicted - noise).square().mean(dim=(1, 2, 3)) * weight).mean()

    training = Training(
        model, args.work_dir / "generator.safetensors", args.learning_rate, args.steps, ema=0.9995
    )
    training.run(loss)
    training.use_average()
    restore_unused_rows(model.text_encoder.get_input_embeddings(), ids.unique())
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=model.text_encoder,
        tokenizer=words,
        unet=model.unet,
        scheduler=noise_schedule,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(args.work_dir / "generator")
    print(f"{args.work_dir / 'generator'}: {training.seconds / 60:.0f} min of training")


if __name__ == "__main__":
    main()
