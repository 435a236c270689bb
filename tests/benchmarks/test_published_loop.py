"""The yardstick for speed: it computes our numbers, in the published way."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.apdm import APDM, protect
from apdm.protectors.material import ProtectionMaterial, protection_material
from apdm.seeding import generator

CONFIG = APDM(
    learning_rate=1e-3, outer_steps=2, inner_steps=3, simulated=DreamBooth(1e-3), prior_loss_weight=2.0
)


@pytest.fixture(scope="module")
def published():
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        import published_loop
    finally:
        sys.path.pop(0)
    return published_loop.protect_as_published


@pytest.fixture
def material(tiny: StableDiffusion) -> ProtectionMaterial:
    pictures = [torch.rand(4, 3, 16, 16, generator=generator(seed)) * 2 - 1 for seed in range(3)]
    return protection_material(tiny, *pictures, "a photo of sks dog", "a photo of dog")


@pytest.mark.parametrize("batch", [1, 2])
def test_losses_and_weights_are_ours(tiny, material, published, batch: int) -> None:
    config = replace(
        CONFIG, train_batch_size=batch, simulated=replace(CONFIG.simulated, train_batch_size=batch)
    )
    theirs, ours = [], []
    yardstick = published(tiny, material, config, 7, lambda *losses: theirs.append(losses))
    protected = protect(tiny, [material], config, 7, lambda *told: ours.append(told[3]))
    means = torch.tensor(theirs).view(2, 3, 2).mean(1)
    told = torch.tensor([[it["personalization_loss"], it["protection_loss"]] for it in ours if it])
    torch.testing.assert_close(means, told, rtol=1e-4, atol=1e-6)  # AdamW makes much of a last bit
    weights = protected.weights()
    apart = torch.cat([(w - weights[name]).abs().flatten() for name, w in yardstick.weights().items()])
    assert apart.mean() < 0.01 * CONFIG.learning_rate  # of some 2e-3 that AdamW moved each


def test_it_passes_and_encodes_as_often_as_published(tiny, material, published, monkeypatch) -> None:
    counted: Counter[str] = Counter()

    def counting(name: str, rows: int):
        made = getattr(StableDiffusion, name)

        def call(model, *given):
            counted[name] += len(given[rows])
            return made(model, *given)

        monkeypatch.setattr(StableDiffusion, name, call)

    for name in ("predict", "encode_images", "encode_prompts"):
        counting(name, 0)
    published(tiny, material, replace(CONFIG, outer_steps=1, inner_steps=1), 7, lambda *losses: None)
    assert counted == {"predict": 8, "encode_images": 6, "encode_prompts": 4}
