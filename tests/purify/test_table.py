"""What every purifier keeps to, on each family."""

from __future__ import annotations

import pytest
import torch

from apdm.backbones.tiny import tiny_stable_diffusion
from apdm.purify.base import Purifier
from apdm.purify.gridpure import GridPure
from apdm.purify.table import PURIFIERS
from apdm.types import Pixels

QUICK = {GridPure: {"iterations": 2, "time": 2}}


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", PURIFIERS)
def test_every_purifier_on_every_family(name: str, prediction_type: str, photos: Pixels) -> None:
    model = tiny_stable_diffusion(prediction_type)
    kind = PURIFIERS[name]
    purify = kind(**QUICK.get(kind, {}))
    assert isinstance(purify, Purifier)
    before, weights = photos.clone(), [w.clone() for w in model.network.parameters()]
    purified = purify(photos, 0, model)
    assert purified.shape == photos.shape
    assert purified.abs().max() <= 1
    assert (purified - photos).abs().amax((1, 2, 3)).min() > 0
    assert torch.equal(photos, before)
    assert all(torch.equal(a, b) for a, b in zip(weights, model.network.parameters(), strict=True))
    assert torch.equal(purify(photos, 0, model), purified)
    if not kind.needs_model:
        assert torch.equal(purify(photos), purified)
