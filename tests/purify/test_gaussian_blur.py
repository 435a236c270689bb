from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from apdm.errors import InputError
from apdm.purify.gaussian_blur import GaussianBlur
from apdm.types import Pixels


@pytest.mark.parametrize("size", [3, 5, 7])
def test_the_window_is_a_gaussian_of_a_sixth_of_its_side(size: int, photos: Pixels) -> None:
    places = np.arange(size) - size // 2
    weights = np.exp(-(places**2) / (2 * ((size - 1) / 6) ** 2))
    expected = photos.double().numpy()
    for axis in (2, 3):
        expected = correlate1d(expected, weights / weights.sum(), axis=axis, mode="mirror")
    assert np.abs(GaussianBlur(size)(photos).numpy() - expected).max() < 1e-5


@pytest.mark.parametrize("size", [1, 4, 0, -3])
def test_a_window_without_a_middle_is_refused(size: int) -> None:
    with pytest.raises(InputError, match=f"kernel_size is {size}"):
        GaussianBlur(size)


def test_a_window_wider_than_the_picture_is_refused() -> None:
    with pytest.raises(InputError, match="kernel_size is 7"):
        GaussianBlur(7)(torch.zeros(1, 3, 3, 3))
