"""Fréchet distance against its formula for distributions that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from apdm.errors import InputError
from apdm.metrics.fid import Moments, fid, fid_and_halves, frechet_distance, moments
from apdm.seeding import generator


def normal(mean: list[float], covariance: list[list[float]]) -> Moments:
    root = torch.linalg.cholesky(torch.tensor(covariance).double()).T
    return Moments(torch.tensor(mean).double(), root, 2)


def test_moments_are_the_mean_and_a_root_of_the_unbiased_covariance() -> None:
    found = moments(torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]]))
    assert found.mean.tolist() == [1.0, 1.0]
    assert found.root.shape == (2, 2)
    covariance = torch.tensor([[1.0, 0.0], [0.0, 3.0]]).double()
    assert torch.allclose(found.root.T @ found.root, covariance)
    assert found.n == 3


def test_distance_of_spreads_along_the_axes_is_written_out() -> None:
    """|(3, 4)|^2 + (1 - 2)^2 + (3 - 1)^2: along an axis, the squared difference of the deviations."""
    a, b = normal([0, 0], [[1, 0], [0, 9]]), normal([3, 4], [[4, 0], [0, 1]])
    assert frechet_distance(a, b) == pytest.approx(25 + 1 + 4)
    assert frechet_distance(b, a) == pytest.approx(30)


def test_a_set_is_at_no_distance_from_itself() -> None:
    features = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(moments(features), moments(features)) == pytest.approx(0, abs=1e-9)


def test_it_is_the_published_formula() -> None:
    draws = torch.Generator().manual_seed(0)
    mix = torch.randn(5, 5, generator=draws)
    a = moments(torch.randn(40, 5, generator=draws))
    b = moments(torch.randn(40, 5, generator=draws) @ mix)
    c_a, c_b = ((m.root.T @ m.root).numpy() for m in (a, b))
    spread = np.trace(c_a + c_b - 2 * scipy.linalg.sqrtm(c_a @ c_b).real)
    assert frechet_distance(a, b) == pytest.approx(float((a.mean - b.mean).square().sum()) + spread)


def test_fewer_features_than_dimensions_are_no_exception() -> None:
    draws = torch.Generator().manual_seed(0)
    few = [moments(torch.randn(4, 16, generator=draws)) for _ in range(2)]
    assert np.isfinite(frechet_distance(*few))
    assert frechet_distance(few[0], few[0]) == pytest.approx(0, abs=1e-6)


def test_one_feature_has_no_spread() -> None:
    with pytest.raises(InputError, match="1 features"):
        moments(torch.zeros(1, 3))


def features(n: int, *keys: str | int, mean: float = 0.0, d: int = 3) -> Tensor:
    return torch.randn(n, d, generator=generator(0, *keys)) + mean


def test_the_value_is_the_distance_of_all_features() -> None:
    x, y = features(30, "x"), features(20, "y", mean=2.0)
    assert fid(x, y, seed=0).value == frechet_distance(moments(x), moments(y))
    assert fid(x, x, seed=0).value == pytest.approx(0, abs=1e-9)
    assert fid(x, x, seed=0).low == 0


def test_halves_are_of_both_sets() -> None:
    """Of two numbers a and b, to a point at 0: their mean squared, and their variance."""
    numbers = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    pairs = [(0, 1), (0, 3), (0, 7), (1, 3), (1, 7), (3, 7)]
    known = {round(((a + b) / 2) ** 2 + (a - b) ** 2 / 2, 6) for a, b in pairs}
    for x, y in ((numbers, torch.zeros(4, 1)), (torch.zeros(4, 1), numbers)):
        found = {round(float(it), 6) for it in fid_and_halves(x, y, seed=0)[1:]}
        assert len(found) > 2
        assert found <= known


def test_two_models_are_compared_on_the_same_halves() -> None:
    """Features moved by c: half by half the distance to the same references differs in the means alone."""
    x, y = torch.randn(2, 40, 3, generator=generator(0, "halves")).unbind()
    was, now = (fid_and_halves(some, y, seed=1) for some in (x, x.clone()))
    assert was.tolist() == now.tolist()
    assert was[0] == fid(x, y, seed=1).value
    moved = fid_and_halves(x + 1000, y, seed=1) - was
    assert moved == pytest.approx(3 * 1000.0**2, rel=2e-3)
    assert len(moved) == 21
