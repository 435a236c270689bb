"""What every protection must do on every tiny family: move the weights of a copy, which is found again."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch

from apdm.backbones.attention import Group
from apdm.backbones.base import Backbone, Sampling
from apdm.backbones.load import load
from apdm.backbones.pipeline import PipelineBackbone
from apdm.backbones.tiny import FAMILIES
from apdm.errors import InputError
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.apdm import APDM, ProtectionMaterial, protection_material
from apdm.protectors.ascent import Ascent
from apdm.protectors.imma import IMMA
from apdm.protectors.mima import MIMA
from apdm.protectors.table import PROTECTORS
from apdm.seeding import generator

LESSON = DreamBooth(1e-3)
SHORT = {
    "apdm": APDM(learning_rate=1e-3, outer_steps=2, inner_steps=2, simulated=LESSON, anchor_weight=1.0),
    "ascent": Ascent(learning_rate=1e-3, max_steps=2),
    "imma": IMMA(learning_rate=1e-3, max_train_steps=4, simulated=LESSON),
    "mima": MIMA(learning_rate=1e-3, max_train_steps=4, simulated=LESSON),
}
GROUPS: dict[str, Group] = {"imma": "attention", "mima": "cross_attention"}  # which alone they move


@cache
def made(family: str) -> PipelineBackbone:
    return FAMILIES[family]()


def material(model: Backbone) -> ProtectionMaterial:
    subject, positives, prior = torch.rand(3, 3, 3, 16, 16, generator=generator(1)) * 2 - 1
    return protection_material(model, subject, positives, prior, "a photo of sks dog", "a photo of dog")


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_protection_moves_a_copy_that_can_be_saved(family: str, name: str, tmp_path: Path) -> None:
    model, protector = made(family), PROTECTORS[name].using(SHORT[name])
    if (family, name) == ("sd3", "mima"):
        with pytest.raises(InputError, match="has no cross"):
            protector(model, material(model), 0)
        return
    before = {name: weight.clone() for name, weight in model.weights().items()}
    protected = protector(model, material(model), 0)
    assert all(torch.equal(weight, before[name]) for name, weight in model.weights().items())
    assert not any(w.requires_grad for m in (model, protected) for w in m.weights().values())
    moved = {name for name, weight in protected.weights().items() if not torch.equal(weight, before[name])}
    assert moved == (model.group(GROUPS[name]).keys() if name in GROUPS else before.keys())
    assert all(weight.isfinite().all() for weight in protected.weights().values())
    protected.save(tmp_path)
    sampling = Sampling(num_inference_steps=2)
    drawn = (m.generate(["a photo of dog"], [0], sampling) for m in (protected, load(str(tmp_path))))
    torch.testing.assert_close(*drawn, rtol=0, atol=1e-5)
