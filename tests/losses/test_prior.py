"""Prior preservation by arithmetic."""

from __future__ import annotations

import pytest
import torch

from apdm.losses.prior import with_prior


def test_two_means_are_added_whatever_the_sizes() -> None:
    instance = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)
    prior = torch.tensor([10.0, 20.0, 30.0, 40.0]).view(2, 2, 1, 1)
    assert with_prior(instance, prior, 0.5).item() == pytest.approx(2 + 0.5 * 25)
