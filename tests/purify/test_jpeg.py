from __future__ import annotations

import pytest
import torch

from apdm import pixels
from apdm.errors import InputError
from apdm.purify.jpeg import Jpeg
from apdm.types import Pixels


@pytest.mark.parametrize("quality", [90, 75, 50])
def test_it_is_the_file_of_that_quality(quality: int, photos: Pixels) -> None:
    assert torch.equal(Jpeg(quality)(photos), pixels.jpeg(photos, quality))


@pytest.mark.parametrize("quality", [0, 96])
def test_a_quality_that_pillow_advises_against_is_refused(quality: int) -> None:
    with pytest.raises(InputError, match=f"quality is {quality}"):
        Jpeg(quality)
