"""The yardstick of the attack: it computes our numbers, and encodes as often as diffusers' script."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.personalizers.base import Material
from apdm.personalizers.dreambooth import DreamBooth
from apdm.seeding import generator


@pytest.fixture(scope="module")
def runs():
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        import dreambooth_speed
    finally:
        sys.path.pop(0)
    return dreambooth_speed.runs


@pytest.fixture
def material(tiny: StableDiffusion) -> Material:
    subject, kind = torch.rand(2, 4, 3, 16, 16, generator=generator(1)) * 2 - 1
    return Material(tiny.encode(subject, "a photo of sks dog"), tiny.encode(kind, "a photo of dog"))


@pytest.mark.parametrize("batch", [1, 2])
def test_losses_are_ours(tiny, material, runs, batch: int) -> None:
    attack = DreamBooth(1e-3, max_train_steps=4, train_batch_size=batch, prior_loss_weight=0.5)
    theirs, ours = (torch.tensor(run(attack)) for run in runs(tiny, material).values())
    assert len(theirs) == 4
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-6)  # AdamW makes much of a last bit


def test_it_encodes_at_every_step(tiny, material, runs, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: Counter[str] = Counter()

    def counting(name: str):
        made = getattr(StableDiffusion, name)

        def call(model, *given):
            counted[name] += len(given[0])
            return made(model, *given)

        monkeypatch.setattr(StableDiffusion, name, call)

    for name in ("predict", "encode_images", "encode_prompts"):
        counting(name)
    runs(tiny, material)["script"](DreamBooth(max_train_steps=3))
    assert counted == {"predict": 6, "encode_images": 6, "encode_prompts": 6}
