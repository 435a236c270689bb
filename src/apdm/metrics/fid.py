"""Fréchet distance of two sets of features (Heusel et al. 2017), as FID takes it of Inception's.

Over another extractor's features it is printed as "FID over <extractor>" and compared with values of the same
extractor, the same references and the same number of pictures only: it is biased upwards, the more so the
fewer the pictures (docs/results/fid-bias.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy import ndarray
from torch import Tensor

from apdm.errors import InputError
from apdm.metrics.base import FeatureExtractor, Interval, Score
from apdm.metrics.distances import check_counts, distance_score
from apdm.metrics.statistics import distance_interval, halves
from apdm.seeding import generator
from apdm.types import Pixels

HALVES = 20  # our choice: each takes seconds of 2048 features; they give the spread to 16 %


@dataclass(frozen=True)
class Moments:
    """Mean of `n` features and a root R of their covariance (unbiased), R^T R, with d rows or fewer."""

    mean: Float64[Tensor, "d"]
    root: Float64[Tensor, "r d"]
    n: int


def moments(features: Float[Tensor, "n d"]) -> Moments:
    """Raises `InputError` for fewer than two features."""
    n, d = features.shape
    if n < 2:
        raise InputError(f"the spread of {n} features is not defined", fix="give two or more")
    mean = features.double().mean(0)
    root = (features.double() - mean) / (n - 1) ** 0.5
    return Moments(mean, torch.linalg.qr(root, mode="r").R if n > d else root, n)


def frechet_distance(a: Moments, b: Moments) -> float:
    """|mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^1/2), of two normal distributions (eq. 6).

    With C = R^T R, tr (C_a C_b)^1/2 is the sum of the singular values of R_a R_b^T: no root of a matrix is
    taken, and fewer features than dimensions are no exception but the cheapest case.
    """
    shared = torch.linalg.svdvals(a.root @ b.root.T).sum()
    spread = a.root.square().sum() + b.root.square().sum() - 2 * shared
    return float((a.mean - b.mean).square().sum() + spread)


def fid(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], *, seed: int) -> Interval:
    """Fréchet distance of two sets of features with `statistics.distance_interval` of random halves of both.

    Raises `InputError` for fewer than four features on a side.
    """
    value, *of_halves = fid_and_halves(x, y, seed=seed)
    return distance_interval(value, np.array(of_halves))


def fid_and_halves(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], *, seed: int
) -> Float64[ndarray, "1+halves"]:
    """The distance of all, and after it those of random halves of both: the same ones for all sets of as many
    members, so that two models' values can be compared half by half. Raises as `fid`."""
    check_counts("FID", x, y)
    rng = generator(seed, "fid")
    pairs = zip(halves(len(x), HALVES, rng).bool(), halves(len(y), HALVES, rng).bool(), strict=True)
    repeated = [frechet_distance(moments(x[some]), moments(y[others])) for some, others in pairs]
    return np.array([frechet_distance(moments(x), moments(y)), *repeated])


def fid_score(extractor: FeatureExtractor, images: Pixels, references: Pixels, *, seed: int) -> Score:
    """FID of generated images to reference images; `n` counts the generated ones."""
    return distance_score("FID", fid, extractor, images, references, seed=seed)
