"""What the tests of cloaks share: pictures, and settings that take a blink."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from apdm.cloaks.base import Cloak, CloakMaterial
from apdm.cloaks.table import CLOAKS
from apdm.personalizers.dreambooth import DreamBooth
from apdm.pixels import quantised
from apdm.seeding import generator
from apdm.types import Pixels

INSTANCE, CLASS = "a photo of sks dog", "a photo of dog"
LESSON = DreamBooth(learning_rate=1e-3, max_train_steps=2)
SHORT = {
    "advdm": {"steps": 3},
    "mist": {"steps": 3},
    "fsmg": {"steps": 3, "surrogate": LESSON},
    "aspl": {"steps": 2, "rounds": 2, "surrogate": LESSON},
    "simac": {"steps": 2, "rounds": 2, "selection_rounds": 2, "surrogate": LESSON},
    "pap": {"steps": 2, "text_steps": 2},
}

Pictures = Callable[[int, int], Pixels]


@pytest.fixture(scope="session")
def pictures() -> Pictures:
    """`count` random pictures of number `seed`, 16 pixels a side, of 8 bits."""

    def make(count: int, seed: int) -> Pixels:
        return quantised(torch.rand(count, 3, 16, 16, generator=generator(seed, "pictures")) * 2 - 1)

    return make


@pytest.fixture
def material(pictures: Pictures) -> CloakMaterial:
    """Two pictures to be cloaked, three clean ones, four of the class."""
    return CloakMaterial(pictures(2, 1), pictures(3, 2), pictures(4, 3), INSTANCE, CLASS)


@pytest.fixture(scope="session")
def short() -> Callable[[str], Cloak]:
    """The cloak of that name with few steps."""
    return lambda name: CLOAKS[name](**SHORT[name])  # pyright: ignore[reportCallIssue]
