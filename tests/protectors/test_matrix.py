"""What every protection must do on every tiny family: move the weights of a copy, which is found again."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
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
from apdm.personalizers.custom_diffusion import CustomDiffusion
from apdm.personalizers.dreambooth import DreamBooth
from apdm.personalizers.lora import LoRA
from apdm.personalizers.textual_inversion import TextualInversion
from apdm.protectors.apdm import APDM
from apdm.protectors.ascent import Ascent
from apdm.protectors.imma import IMMA
from apdm.protectors.material import ProtectionMaterial, protection_material
from apdm.protectors.mima import MIMA
from apdm.protectors.table import PROTECTORS, Protector
from apdm.seeding import generator
from apdm.steps import State

LESSON = DreamBooth(1e-3)
SHORT = {
    "apdm": APDM(learning_rate=1e-3, outer_steps=2, inner_steps=2, simulated=LESSON, anchor_weight=1.0),
    "ascent": Ascent(learning_rate=1e-3, max_train_steps=2),
    "imma": IMMA(learning_rate=1e-3, max_train_steps=4, simulated=LESSON),
    "mima": MIMA(learning_rate=1e-3, max_train_steps=4, simulated=LESSON),
}
GROUPS: dict[str, Group] = {"imma": "attention", "mima": "cross_attention"}  # which alone they move


CARRIED = {
    "dreambooth": DreamBooth(1e-3, train_text_encoder=True),
    "lora": LoRA(learning_rate=1e-2),
    "custom-diffusion": CustomDiffusion(learning_rate=1e-2, initializer_token="dog", augment=False),
    "textual-inversion": TextualInversion(learning_rate=1e-2, initializer_token="dog"),
}


class Interrupted:
    """Counts `stop` steps, keeps the state, and the next time begins with it."""

    def __init__(self, stop: int) -> None:
        self.stop, self.kept = stop, {}

    def __call__(self, total: int, state: State) -> Iterator[int]:
        if not self.kept:
            yield from range(self.stop)
            self.kept = copy.deepcopy({part: dict(tensors) for part, tensors in state.items()})
            return
        with torch.no_grad():
            for part, tensors in state.items():
                for name, tensor in tensors.items():
                    tensor.copy_(self.kept[part][name])
        yield from range(self.stop, total)


def resumed_alike(model: Backbone, protector: Protector, stop: int, *given: ProtectionMaterial) -> bool:
    """Whether a run that was interrupted after `stop` steps ends as one that was not, bit for bit."""
    steps = Interrupted(stop)
    halfway = protector(model, given, 0, steps=steps).weights()
    again, whole = protector(model, given, 0, steps=steps).weights(), protector(model, given, 0).weights()
    assert not all(torch.equal(weight, halfway[name]) for name, weight in whole.items())
    return all(torch.equal(weight, again[name]) for name, weight in whole.items())


@cache
def made(family: str) -> PipelineBackbone:
    return FAMILIES[family]()


def material(model: Backbone, word: str = "sks") -> ProtectionMaterial:
    subject, positives, prior = torch.rand(3, 3, 3, 16, 16, generator=generator(1)) * 2 - 1
    prompts = f"a photo of {word} dog", "a photo of dog"
    return protection_material(model, subject, positives, prior, *prompts)


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_protection_moves_a_copy_that_can_be_saved(family: str, name: str, tmp_path: Path) -> None:
    model, protector = made(family), PROTECTORS[name].using(SHORT[name])
    if name == "mima" and family in ("sd3", "flux"):
        with pytest.raises(InputError, match="has no cross"):
            protector(model, [material(model)], 0)
        return
    before = {name: weight.clone() for name, weight in model.weights().items()}
    protected = protector(model, [material(model)], 0)
    assert all(torch.equal(weight, before[name]) for name, weight in model.weights().items())
    assert not any(w.requires_grad for m in (model, protected) for w in m.weights().values())
    moved = {name for name, weight in protected.weights().items() if not torch.equal(weight, before[name])}
    assert moved == (model.group(GROUPS[name]).keys() if name in GROUPS else before.keys())
    assert all(weight.isfinite().all() for weight in protected.weights().values())
    protected.save(tmp_path)
    sampling = Sampling(num_inference_steps=2)
    drawn = (m.generate(["a photo of dog"], [0], sampling) for m in (protected, load(str(tmp_path))))
    torch.testing.assert_close(*drawn, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "name", "stop"),
    [("sd1", "apdm", 1), ("sd3", "apdm", 1), ("sd1", "ascent", 1), ("sd1", "imma", 2), ("sd1", "mima", 2)],
)
def test_an_interrupted_protection_goes_on_bit_for_bit(family: str, name: str, stop: int) -> None:
    model = made(family)
    assert resumed_alike(model, PROTECTORS[name].using(SHORT[name]), stop, material(model))


@pytest.mark.parametrize("attack", CARRIED)
def test_so_does_one_that_carries_its_attack_on(attack: str) -> None:
    """Stopped within a simulated attack that three look-aheads share: weights, what is trained beside them,
    both optimizers, and where the protected weights were."""
    model = made("sd1")
    config = replace(SHORT["apdm"], outer_steps=5, restart_every=3, simulated=CARRIED[attack])
    given = material(model, CARRIED[attack].placeholder_token or "sks")
    assert resumed_alike(model, PROTECTORS["apdm"].using(config), 2, given)


def test_so_does_one_that_carries_an_attack_on_each_of_two_subjects() -> None:
    """Stopped where the second subject's simulated attack has gone further than the first one's."""
    model = made("sd1")
    config = replace(SHORT["apdm"], outer_steps=7, restart_every=3, subjects_per_update=1)
    other = replace(material(model), negatives=material(model).prior)
    assert resumed_alike(model, PROTECTORS["apdm"].using(config), 4, material(model), other)
