from __future__ import annotations

import pytest
import torch
from torch.nn.functional import interpolate
from torch.testing import assert_close

from apdm.errors import InputError
from apdm.purify.resize import Resize
from apdm.types import Pixels


def test_it_goes_through_half_the_size_and_back(photos: Pixels) -> None:
    wide = photos[:, :, :13]
    small = interpolate(wide, (6, 8), mode="bicubic", antialias=True).clamp(-1, 1)
    expected = interpolate(small, (13, 16), mode="bicubic", antialias=True).clamp(-1, 1)
    assert_close(Resize()(wide), expected)


def test_a_chessboard_of_single_pixels_is_gone() -> None:
    board = (torch.arange(16).view(-1, 1) + torch.arange(16)) % 2 * 2.0 - 1
    assert Resize()(board.expand(1, 3, 16, 16)).abs().max() < 0.2


@pytest.mark.parametrize("factor", [1, 0])
def test_a_factor_that_changes_nothing_is_refused(factor: int) -> None:
    with pytest.raises(InputError, match=f"factor is {factor}"):
        Resize(factor)


def test_a_factor_beyond_the_side_is_refused(photos: Pixels) -> None:
    with pytest.raises(InputError, match="factor is 17"):
        Resize(17)(photos)
