"""On a GPU as on a CPU: noise is drawn on the CPU, so all families learn the same there."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from apdm.backbones.base import Sampling
from apdm.backbones.execution import Execution
from apdm.backbones.pipeline import PipelineBackbone
from apdm.backbones.tiny import FAMILIES
from apdm.personalizers.base import Material, Personalizer, personalize
from apdm.personalizers.custom_diffusion import CustomDiffusion
from apdm.personalizers.dreambooth import DreamBooth
from apdm.personalizers.lora import LoRA
from apdm.personalizers.textual_inversion import TextualInversion
from apdm.protectors.apdm import APDM
from apdm.protectors.ascent import Ascent
from apdm.protectors.imma import IMMA
from apdm.protectors.material import ProtectionMaterial, protection_material
from apdm.protectors.mima import MIMA
from apdm.protectors.table import PROTECTORS, Settings
from apdm.seeding import generator

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

INSTANCE, CLASS, WORD = "a photo of sks dog", "a photo of dog", "a photo of <new1> dog"
LESSON = DreamBooth(1e-3)
PROTECTIONS: dict[str, Settings] = {
    "apdm": APDM(learning_rate=1e-3, outer_steps=2, inner_steps=2, simulated=LESSON, anchor_weight=1.0),
    "ascent": Ascent(learning_rate=1e-3, max_train_steps=2),
    "imma": IMMA(learning_rate=1e-3, max_train_steps=2, simulated=LESSON),
    "mima": MIMA(learning_rate=1e-3, max_train_steps=2, simulated=LESSON),
}
ATTACKS: dict[str, Personalizer] = {
    "dreambooth": DreamBooth(1e-3, 2),
    "lora": LoRA(1e-2, 2),
    "custom diffusion": CustomDiffusion(1e-2, 2, initializer_token="dog", augment=False),
    "textual inversion": TextualInversion(1e-2, 2, initializer_token="dog"),
}
REFUSED = {(name, family) for name in ("mima", "custom diffusion") for family in ("sd3", "flux")}


@cache
def made(family: str, device: str) -> PipelineBackbone:
    backbone = FAMILIES[family]()
    backbone.pipeline.to(device)
    return type(backbone)(backbone.pipeline, family)  # whose schedule is where its network is


def material(model: PipelineBackbone, prompt: str = INSTANCE) -> ProtectionMaterial:
    sets = torch.rand(3, 3, 3, 16, 16, generator=generator(0)) * 2 - 1
    return protection_material(model, *sets, prompt, CLASS)


def moved(name: str, family: str, device: str, execution: Execution = Execution()) -> Tensor:
    """How far every weight was moved by a protection, on the CPU."""
    model = made(family, device).copy()
    model.run_as(execution)
    protected = PROTECTORS[name].using(PROTECTIONS[name])(model, [material(made(family, device))], 0)
    assert protected.device == model.device
    before = model.weights()
    return torch.cat([(after - before[at]).cpu().flatten() for at, after in protected.weights().items()])


def alike(one: Tensor, other: Tensor) -> float:
    """Cosine of two updates: AdamW begins with signs, which rounding turns where a gradient is nothing."""
    return torch.cosine_similarity(one, other, dim=0).item()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", PROTECTIONS)
def test_a_protection_moves_as_on_a_cpu(name: str, family: str) -> None:
    if (name, family) in REFUSED:
        pytest.skip("refused there")
    there, here = (moved(name, family, device) for device in ("cuda", "cpu"))
    assert here.any()
    assert alike(there, here) > 0.95


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_draws_pictures_as_on_a_cpu(name: str, family: str) -> None:
    if (name, family) in REFUSED:
        pytest.skip("refused there")
    drawn = []
    for device in ("cuda", "cpu"):
        model, attack = made(family, device), ATTACKS[name]
        given = material(model, WORD if attack.placeholder_token else INSTANCE)
        attacked = personalize(model.copy(), attack, Material(given.negatives, given.prior), 0)
        drawn.append(attacked.generate([CLASS], [0], Sampling(2)))
    assert (drawn[0] - drawn[1]).abs().mean() < 0.02


@pytest.mark.parametrize(
    "execution",
    [
        Execution(offload=True),
        Execution(gradient_checkpointing=True),
        Execution(compile=True),
    ],
    ids=["offloaded", "checkpointed", "compiled"],
)
def test_ways_of_running_move_the_same(execution: Execution) -> None:
    plain = moved("apdm", "sd1", "cuda")
    assert alike(moved("apdm", "sd1", "cuda", execution), plain) > 0.95


@pytest.mark.parametrize("compiled", [False, True])
def test_bf16_moves_nearly_the_same(compiled: bool) -> None:
    plain = moved("apdm", "sd1", "cuda")
    assert alike(moved("apdm", "sd1", "cuda", Execution("bf16", compile=compiled)), plain) > 0.7
