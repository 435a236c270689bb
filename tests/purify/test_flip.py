from __future__ import annotations

import torch

from apdm.purify.flip import Flip
from apdm.types import Pixels


def test_left_becomes_right_and_up_stays(photos: Pixels) -> None:
    flipped = Flip()(photos)
    assert torch.equal(flipped[..., :, 0], photos[..., :, -1])
    assert torch.equal(Flip()(flipped), photos)
