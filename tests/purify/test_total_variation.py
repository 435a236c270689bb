"""Total variation, against scikit-image and its own definition."""

from __future__ import annotations

import numpy as np
import torch
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor

from apdm.pixels import to_unit
from apdm.purify.total_variation import TotalVariation, divergence, gradient
from apdm.seeding import generator
from apdm.types import Pixels


def test_divergence_is_minus_the_transpose_of_the_gradient() -> None:
    u = torch.randn(2, 3, 5, 6, dtype=torch.float64, generator=generator(0))
    p = torch.randn(2, 2, 3, 5, 6, dtype=torch.float64, generator=generator(1))
    left = (gradient(u.float()).double() * p).sum()
    right = -(u * divergence(p.float()).double()).sum()
    assert abs(left - right) < 1e-4


def test_it_is_scikit_images_denoiser(photos: Pixels) -> None:
    for picture in photos:
        theirs = denoise_tv_chambolle(
            to_unit(picture).double().numpy(), weight=0.1, eps=1e-9, max_num_iter=2000, channel_axis=0
        )
        ours = to_unit(TotalVariation()(picture[None]))[0].numpy()
        assert np.abs(ours - theirs).max() < 0.01


def energy(picture: Tensor, noisy: Tensor, weight: float) -> Tensor:
    slope = gradient(picture).square().sum(0).sqrt().sum()
    return (picture - noisy).square().sum() / (2 * weight) + slope


def test_nothing_near_it_has_less_energy(photos: Pixels) -> None:
    noisy = to_unit(photos[:1])
    found = to_unit(TotalVariation(weight=0.1)(photos[:1]))
    least = energy(found, noisy, 0.1)
    assert least < 0.8 * energy(noisy, noisy, 0.1)
    for seed in range(5):
        near = found + 0.01 * torch.randn(found.shape, generator=generator(seed))
        assert least < energy(near, noisy, 0.1)


def test_more_weight_is_smoother(photos: Pixels) -> None:
    spreads = [TotalVariation(weight=weight)(photos).std() for weight in (0.02, 0.1, 0.5)]
    assert spreads == sorted(spreads, reverse=True)
