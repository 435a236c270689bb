"""Kernel distance between two sets of pictures (KID; Binkowski et al. 2018, Demystifying MMD GANs).

The published KID looks through Inception-v3; this one through any extractor, so it is printed as
"KID over <extractor>" and compared with values of the same extractor only.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray
from torch import Tensor

from apdm.metrics.base import FeatureExtractor, Interval, Score
from apdm.metrics.distances import check_counts, distance_score, whole_and_halves
from apdm.metrics.statistics import percentile_interval
from apdm.seeding import generator
from apdm.types import Pixels

HALVES = 1000  # our choice; Binkowski et al. take 100 subsets of 1000 images


def polynomial_kernel(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float64[Tensor, "n m"]:
    """KID's kernel k(x, y) = (x.y / d + 1)^3."""
    return (x.double() @ y.double().T / x.shape[1] + 1) ** 3


def kid(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], *, seed: int) -> Interval:
    """Unbiased squared MMD (Gretton et al. 2012, Lemma 6) of two sets of features; may be negative.

    sum_{i != j} k(x_i, x_j) / n(n-1) + sum_{i != j} k(y_i, y_j) / m(m-1) - 2 mean_{ij} k(x_i, y_j).

    The value is that of all images, the interval the percentiles of the values of random halves of
    both sets. Halves are drawn without replacement, since repeated images would put diagonal terms
    into the sums; a half's value scatters around the whole's as the whole's does around the truth
    (1/h - 1/n = 1/n), or up to sqrt(3) times wider where the two distributions are equal.
    Raises `InputError` for fewer than four features on a side.
    """
    value, *of_halves = kid_and_halves(x, y, seed=seed)
    return percentile_interval(value, np.array(of_halves))


def kid_and_halves(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], *, seed: int
) -> Float64[ndarray, "1+halves"]:
    """As `fid.fid_and_halves`. Raises as `kid`."""
    check_counts("KID", x, y)
    kernels = (
        polynomial_kernel(x, x).fill_diagonal_(0),
        polynomial_kernel(y, y).fill_diagonal_(0),
        polynomial_kernel(x, y),
    )
    value, of_halves = whole_and_halves(_unbiased, kernels, HALVES, generator(seed, "kid"))
    return np.array([value, *of_halves])


def kid_score(extractor: FeatureExtractor, images: Pixels, references: Pixels, *, seed: int) -> Score:
    """KID of generated images to reference images; `n` counts the generated ones."""
    return distance_score("KID", kid, extractor, images, references, seed=seed)


def _unbiased(
    of_x: Float64[Tensor, "s n"],
    of_y: Float64[Tensor, "s m"],
    k_xx: Float64[Tensor, "n n"],
    k_yy: Float64[Tensor, "m m"],
    k_xy: Float64[Tensor, "n m"],
) -> Float64[Tensor, "s"]:
    """The estimator on subsets, given as rows of ones and zeros; k_xx and k_yy without diagonals."""
    n, m = of_x.sum(1), of_y.sum(1)
    within_x = ((of_x @ k_xx) * of_x).sum(1) / (n * (n - 1))
    within_y = ((of_y @ k_yy) * of_y).sum(1) / (m * (m - 1))
    between = ((of_x @ k_xy) * of_y).sum(1) / (n * m)
    return within_x + within_y - 2 * between
