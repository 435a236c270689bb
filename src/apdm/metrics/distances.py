"""What distances of two sets of features share (KID, CMMD, FID): random halves, and how they are told."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Float64
from numpy import ndarray
from torch import Tensor

from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics.base import FeatureExtractor, Interval, Score
from apdm.metrics.statistics import halves
from apdm.types import Pixels

Kernels = tuple[Float64[Tensor, "n n"], Float64[Tensor, "m m"], Float64[Tensor, "n m"]]  # of x, of y, between
Estimator = Callable[
    ..., Float64[Tensor, "s"]
]  # of subsets of x and y, as rows of ones and zeros, and kernels


def check_counts(title: str, x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> None:
    """Raises `InputError` for fewer than four features on a side."""
    if len(x) < 4 or len(y) < 4:
        raise InputError(
            f"{title} of {len(x)} and {len(y)} images has no halves to compare",
            fix="give four or more of each",
        )


def whole_and_halves(
    estimator: Estimator, kernels: Kernels, count: int, rng: torch.Generator
) -> tuple[float, Float64[ndarray, "count"]]:
    """The estimate of both whole sets, and those of `count` random halves of both."""
    n, m = kernels[2].shape
    whole = estimator(torch.ones(1, n).double(), torch.ones(1, m).double(), *kernels)
    repeated = estimator(halves(n, count, rng), halves(m, count, rng), *kernels)
    return float(whole), repeated.numpy()


def distance_score(
    title: str,
    distance: Callable[..., Interval],
    extractor: FeatureExtractor,
    images: Pixels,
    references: Pixels,
    *,
    seed: int,
) -> Score:
    """`distance` of generated images to reference images; `n` counts the generated ones."""
    return Score.of(
        distance(extractor(images), extractor(references), seed=seed),
        metric=f"{title} over {extractor.name}",
        n=len(images),
        direction=Direction.LOWER_PRESERVES,
        extractor=extractor.name,
        fingerprint=extractor.fingerprint,
    )
