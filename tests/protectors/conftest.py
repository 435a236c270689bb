"""What the tests of APDM share: material, and a count of the network's passes."""

from __future__ import annotations

import pytest
import torch

from apdm.backbones.base import Backbone, EncodedImages, Moments
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.protectors.material import ProtectionMaterial

INSTANCE, CLASS = "a photo of sks dog", "a photo of dog"


def numbered(model: Backbone, first: float, count: int, prompt: str) -> EncodedImages:
    """Latents filled with first, first + 1, ..., nothing to be drawn."""
    mean = (first + torch.arange(count, dtype=torch.float32)).view(-1, 1, 1, 1).expand(-1, 4, 8, 8)
    return EncodedImages(Moments(mean, torch.zeros_like(mean)), model.encode_prompts([prompt]))


@pytest.fixture
def numbers(tiny: StableDiffusion) -> ProtectionMaterial:
    """Negatives 10 to 12, their positives 20 to 22, class images 30 to 34."""
    return ProtectionMaterial(
        negatives=numbered(tiny, 10, 3, INSTANCE),
        positives=numbered(tiny, 20, 3, INSTANCE),
        prior=numbered(tiny, 30, 5, CLASS),
    )


@pytest.fixture
def patterns(pattern_set) -> ProtectionMaterial:
    """Subject, positives and class: variations of three random latent pictures."""
    return ProtectionMaterial(pattern_set(1, INSTANCE), pattern_set(2, INSTANCE), pattern_set(3, CLASS))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """Of each call of the network how many samples it had, and whether it can be differentiated."""
    counted, predict = [], StableDiffusion.predict

    def spy(self, noisy, t, condition):
        predicted = predict(self, noisy, t, condition)
        counted.append((len(noisy), predicted.requires_grad))
        return predicted

    monkeypatch.setattr(StableDiffusion, "predict", spy)
    return counted
