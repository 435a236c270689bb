"""Weights that rest on the host: the same numbers, and who refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from apdm.backbones.execution import Execution
from apdm.backbones.tiny import tiny_stable_diffusion
from apdm.errors import InputError
from apdm.personalizers.dreambooth import DreamBooth
from apdm.personalizers.lora import LoRA
from apdm.protectors.apdm import APDM, protect
from apdm.protectors.material import ProtectionMaterial, protection_material
from apdm.protectors.table import PROTECTORS
from apdm.seeding import generator

OFFLOAD = Execution(offload=True)
QUICK = APDM(learning_rate=1e-3, outer_steps=3, inner_steps=2, simulated=DreamBooth(1e-3))


@pytest.fixture(scope="module")
def material() -> ProtectionMaterial:
    pictures = torch.rand(3, 3, 3, 16, 16, generator=generator(1)) * 2 - 1
    return protection_material(tiny_stable_diffusion(), *pictures, "a photo of sks dog", "a photo of dog")


@pytest.mark.parametrize(
    "config",
    [
        QUICK,
        replace(QUICK, restart_every=2, anchor_weight=5.0, anchor_batch_size=2),
        replace(QUICK, leak=True),
        replace(QUICK, simulated=LoRA(learning_rate=1e-2)),
    ],
    ids=["plain", "carried and anchored", "leak", "lora"],
)
def test_the_protected_weights_are_the_same_bit_for_bit(material, config: APDM) -> None:
    ends = []
    for execution in (Execution(), OFFLOAD):
        model = tiny_stable_diffusion()
        before = [weight.clone() for weight in model.network.parameters()]
        model.run_as(execution)
        protected = protect(model, [material], config, 7)
        assert all(torch.equal(a, b) for a, b in zip(before, model.network.parameters(), strict=True))
        assert not any(weight.grad is not None for weight in protected.network.parameters())
        ends.append(protected.weights())
    assert all(torch.equal(weight, ends[1][name]) for name, weight in ends[0].items())


def test_so_they_are_in_8_bits(material, eight_bit) -> None:
    ends = []
    for execution in (Execution(use_8bit_adam=True), Execution(offload=True, use_8bit_adam=True)):
        model = tiny_stable_diffusion()
        model.run_as(execution)
        ends.append(protect(model, [material], replace(QUICK, restart_every=2), 7).weights())
    assert all(torch.equal(weight, ends[1][name]) for name, weight in ends[0].items())


def test_gradients_of_the_attack_are_never_all_there(material, monkeypatch: pytest.MonkeyPatch) -> None:
    held = []
    monkeypatch.setattr(
        torch.optim.AdamW,
        "step",
        lambda optimizer: held.append(sum(w.grad is not None for w in optimizer.param_groups[0]["params"])),
    )
    for execution in (Execution(), OFFLOAD):
        model = tiny_stable_diffusion()
        model.run_as(execution)
        protect(model, [material], replace(QUICK, outer_steps=1), 7)
    whole = len(list(tiny_stable_diffusion().network.parameters()))
    one_by_one = [1] * (2 * whole)
    assert held == [whole] * 3 + one_by_one + [whole]  # two steps of the attack and an update, twice


@pytest.mark.parametrize("name", ["ascent", "imma", "mima", "none", "apdm-without-l2p"])
def test_who_keeps_nothing_apart_refuses(name: str) -> None:
    with pytest.raises(InputError, match="keeps nothing that could be offloaded: leave out --offload"):
        PROTECTORS[name].check(OFFLOAD)
    PROTECTORS[name].check(Execution("bf16", gradient_checkpointing=True))
    PROTECTORS["apdm"].check(OFFLOAD)


def test_so_does_its_call(material) -> None:
    model = tiny_stable_diffusion()
    model.run_as(OFFLOAD)
    with pytest.raises(InputError, match="offloaded"):
        PROTECTORS["ascent"](model, [material], 0)
