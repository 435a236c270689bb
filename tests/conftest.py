"""What all tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from apdm.backbones.base import Backbone, EncodedImages, Moments, draw_noise
from apdm.losses.denoising import denoising_error
from apdm.seeding import generator

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion

PatternSet = Callable[[int, str], EncodedImages]
MeanError = Callable[[Backbone, EncodedImages], float]
AdamWByHand = Callable[[float, Callable[[float], float], float, int], list[float]]

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photographs beside the project; a user's machine has none."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"{SHARED_DATA} is not there: its photographs do not come with the project")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tiny() -> Iterator[StableDiffusion]:
    """A random Stable Diffusion that all tests share and none may change."""
    from apdm.backbones.tiny import tiny_stable_diffusion  # loads diffusers

    model = tiny_stable_diffusion()
    before = [weight.clone() for weight in model.network.parameters()]
    yield model
    assert all(torch.equal(a, b) for a, b in zip(before, model.network.parameters(), strict=True))


@pytest.fixture(scope="session")
def pattern_set(tiny: StableDiffusion) -> PatternSet:
    """Four variations of the random latent picture number `pattern`, under a prompt. The tiny
    autoencoder sends every picture to nearly the same latents, so behaviour is tested on these."""

    def make(pattern: int, prompt: str) -> EncodedImages:
        draws = generator(pattern, "pattern")
        mean = torch.randn(1, 4, 8, 8, generator=draws) + 0.2 * torch.randn(4, 4, 8, 8, generator=draws)
        return EncodedImages(Moments(mean, torch.full_like(mean, 0.1)), tiny.encode_prompts([prompt]))

    return make


@pytest.fixture(scope="session")
def mean_error() -> MeanError:
    """A model's mean denoising error on a set, over 256 draws of image, time and noise that stay the same."""

    def measure(model: Backbone, images: EncodedImages) -> float:
        draws = generator(0, "held-out draws")
        clean = images.moments.sample(torch.arange(len(images)).repeat(64), draws)
        noise, t = draw_noise(clean, draws), model.schedule.sample_times(len(clean), draws)
        with torch.no_grad():
            errors = denoising_error(model, clean, images.condition.repeat(len(clean)), noise, t)
        return errors.mean().item()

    return measure


@pytest.fixture(scope="session")
def adamw_by_hand() -> AdamWByHand:
    """The weights after each of `steps` AdamW steps on one weight, written out (betas .9 and .999,
    decay .01, eps 1e-8; Loshchilov & Hutter 2019, algorithm 2)."""

    def path(weight: float, gradient_at: Callable[[float], float], rate: float, steps: int) -> list[float]:
        mean, square, weights = 0.0, 0.0, []
        for step in range(1, steps + 1):
            gradient = gradient_at(weight)
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.999 * square + 0.001 * gradient**2
            direction = mean / (1 - 0.9**step) / ((square / (1 - 0.999**step)) ** 0.5 + 1e-8)
            weight = weight - rate * 0.01 * weight - rate * direction
            weights.append(weight)
        return weights

    return path
