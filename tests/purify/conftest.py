from __future__ import annotations

import pytest
import torch

from apdm.pixels import quantised
from apdm.seeding import generator
from apdm.types import Pixels


@pytest.fixture
def photos() -> Pixels:
    """Three random pictures, 16 pixels a side, of 8 bits."""
    return quantised(torch.rand(3, 3, 16, 16, generator=generator(1, "photos")) * 2 - 1)
