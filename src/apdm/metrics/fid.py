"""Fréchet distance of two sets of features (Heusel et al. 2017), as FID takes it of Inception's.

Over another extractor's features it is printed as "FID over <extractor>" and compared with values of the same
extractor, the same references and the same number of pictures only: it is biased upwards, the more so the
fewer the pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from apdm.errors import InputError


@dataclass(frozen=True)
class Moments:
    """Mean and covariance (unbiased) of `n` features."""

    mean: Float64[Tensor, "d"]
    covariance: Float64[Tensor, "d d"]
    n: int


def moments(features: Float[Tensor, "n d"]) -> Moments:
    """Raises `InputError` for fewer than two features."""
    if len(features) < 2:
        raise InputError(f"the spread of {len(features)} features is not defined", fix="give two or more")
    return Moments(features.double().mean(0), torch.cov(features.double().T), len(features))


def frechet_distance(a: Moments, b: Moments) -> float:
    """|mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^1/2), of two normal distributions (eq. 6).

    tr (C_a C_b)^1/2 = tr (R C_b R)^1/2 with R = C_a^1/2, which is symmetric and without negative
    eigenvalues, so no complex root is ever taken; covariances without full rank are no exception.
    """
    root = _root(a.covariance)
    shared = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp(min=0).sqrt().sum()
    spread = a.covariance.trace() + b.covariance.trace() - 2 * shared
    return float((a.mean - b.mean).square().sum() + spread)


def _root(covariance: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
