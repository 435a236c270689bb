"""Random changes of training pictures."""

from __future__ import annotations

import torch

from apdm.personalizers.augmentation import random_crop, random_flip
from apdm.seeding import generator


def test_half_of_all_pictures_are_mirrored() -> None:
    ramp, draws = torch.arange(4.0).expand(1, 3, 4, 4), generator(0)
    flipped = [random_flip(ramp, draws)[0, 0, 0, 0].item() for _ in range(400)]
    assert set(flipped) == {0.0, 3.0}
    assert 160 < flipped.count(3.0) < 240


def test_a_crop_keeps_its_share_and_the_side() -> None:
    """Of a ramp the slope tells how much was kept; the least share may round to nothing but never is."""
    ramp, draws = torch.linspace(-1, 1, 20).expand(1, 3, 20, 20), generator(0)
    kept = [random_crop(ramp, 0.5, draws) for _ in range(60)]
    spans = [(it[0, 0, 10, -1] - it[0, 0, 10, 0]).item() / 2 for it in kept]
    assert all(it.shape == ramp.shape for it in kept)
    assert 0.4 < min(spans) < 0.6
    assert max(spans) > 0.9
    assert all(random_crop(ramp, 1e-3, draws).isfinite().all() for _ in range(60))
