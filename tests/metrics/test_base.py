from __future__ import annotations

import json
import math

import torch
from torch import Tensor, nn

from apdm.direction import Direction
from apdm.metrics.base import BATCH, Interval, NetworkExtractor, Score, digest


class Mean(NetworkExtractor):
    """Dropout, then the mean of each channel; notes how many pictures come at a time."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Dropout(0.5), nn.Conv2d(3, 3, 1)), "mean", 3)
        self.batches: list[int] = []

    def embed(self, pixels: Tensor) -> Tensor:
        self.batches.append(len(pixels))
        return self.network(pixels).mean((2, 3))


def test_an_interval_says_none_for_what_is_no_number() -> None:
    interval = Interval(0.5, -math.inf, math.nan)
    assert interval.as_dict() == {"value": 0.5, "low": None, "high": None}


def test_a_score_is_recorded_with_its_direction_and_extractor() -> None:
    score = Score(
        torch.tensor(0.25).item(),
        0.0,
        0.5,
        metric="similarity",
        n=30,
        direction=Direction.LOWER_PROTECTS,
        extractor="toybox-identity",
        fingerprint="abc",
        excluded=2,
    )
    assert json.loads(json.dumps(score.as_dict(), allow_nan=False)) == {
        "metric": "similarity",
        "value": 0.25,
        "low": 0.0,
        "high": 0.5,
        "n": 30,
        "excluded": 2,
        "direction": "lower protects",
        "extractor": "toybox-identity",
        "extractor_sha256": "abc",
    }


def test_an_extractor_works_in_batches_without_dropout_or_gradients() -> None:
    extractor = Mean()
    pixels = torch.rand(2 * BATCH + 5, 3, 4, 4, requires_grad=True)
    features = extractor(pixels)
    assert extractor.batches == [BATCH, BATCH, 5]
    assert torch.allclose(features, extractor.network[1](pixels).mean((2, 3)), atol=1e-6)
    assert not features.requires_grad
    assert not any(parameter.requires_grad for parameter in extractor.network.parameters())


def test_an_extractor_takes_half_precision_and_no_pictures() -> None:
    extractor = Mean()
    assert extractor(torch.rand(2, 3, 4, 4).half()).dtype == torch.float32
    assert extractor(torch.rand(0, 3, 4, 4)).shape == (0, 3)


def test_the_fingerprint_follows_the_weights() -> None:
    weights = (torch.ones(2, 3), torch.tensor(4))
    others = (
        (torch.ones(2, 3), torch.tensor(5)),
        (torch.ones(3, 2), torch.tensor(4)),
        (torch.ones(2, 3),),
        (torch.ones(2, 3), torch.tensor(4).view(torch.float64)),
    )
    assert digest(weights) == digest(reversed(weights))
    assert len({digest(weights), *(digest(other) for other in others)}) == 5
    assert len(digest(weights)) == 64
    extractor = Mean()
    assert extractor.fingerprint == digest(extractor.network.state_dict().values())
