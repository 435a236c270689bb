"""What every distance of two sets of features holds to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics.base import Interval, Score
from apdm.metrics.cmmd import cmmd, cmmd_score
from apdm.metrics.fid import fid, fid_score
from apdm.metrics.kid import kid, kid_score
from apdm.seeding import generator


@dataclass(frozen=True)
class Case:
    """A distance, and sets of which it is far from zero: n normal features of d numbers, apart by `mean`."""

    title: str
    distance: Callable[..., Interval]
    score: Callable[..., Score]
    n: int
    d: int
    mean: float

    def between(self, number: int, seed: int = 0) -> Interval:
        x = torch.randn(self.n, self.d, generator=generator(0, "x", number))
        y = torch.randn(self.n, self.d, generator=generator(0, "y", number))
        return self.distance(x, y + self.mean, seed=seed)


DISTANCES = pytest.mark.parametrize(
    "case",
    [
        Case("KID", kid, kid_score, 30, 2, 0.7),
        Case("CMMD", cmmd, cmmd_score, 40, 3, 1.0),
        Case("FID", fid, fid_score, 40, 3, 1.0),
    ],
    ids=lambda case: case.title,
)


class Corner:
    """The first pixel as features."""

    name, fingerprint, dim = "corner", "0f", 3

    def __call__(self, pixels: Tensor) -> Tensor:
        return pixels[:, :, 0, 0]


@DISTANCES
def test_the_interval_is_as_wide_as_the_value_scatters(case: Case) -> None:
    intervals = [case.between(number) for number in range(150)]
    scatter = np.std([interval.value for interval in intervals])
    width = np.median([interval.high - interval.low for interval in intervals])
    assert width == pytest.approx(2 * 1.96 * scatter, rel=0.25)


@DISTANCES
def test_the_seed_decides_the_interval_only(case: Case) -> None:
    first, again, other = (case.between(0, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.value == other.value
    assert first.high != other.high


@DISTANCES
def test_the_score_is_printed_under_the_extractors_name(case: Case) -> None:
    images, references = torch.rand(5, 3, 2, 2), torch.rand(6, 3, 2, 2)
    score = case.score(Corner(), images, references, seed=0)
    assert score.value == case.distance(images[:, :, 0, 0], references[:, :, 0, 0], seed=0).value
    assert (score.metric, score.n) == (f"{case.title} over corner", 5)
    assert score.direction is Direction.LOWER_PRESERVES
    assert (score.extractor, score.fingerprint) == ("corner", "0f")


@DISTANCES
@pytest.mark.parametrize(("n", "m"), [(3, 9), (9, 3)])
def test_too_few_images_are_refused(case: Case, n: int, m: int) -> None:
    with pytest.raises(InputError, match=f"{case.title} of {n} and {m} images"):
        case.distance(torch.ones(n, 2), torch.ones(m, 2), seed=0)
