"""What every attack must do on every tiny family: take, leave its input alone, eject, and be found again."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from apdm.backbones.base import Backbone
from apdm.backbones.tiny import tiny_stable_diffusion
from apdm.personalizers.base import Material, Personalizer, personalize
from apdm.personalizers.custom_diffusion import CustomDiffusion
from apdm.personalizers.dreambooth import DreamBooth
from apdm.personalizers.lora import LoRA
from apdm.personalizers.textual_inversion import TextualInversion
from apdm.protectors.apdm import APDM, ProtectionMaterial, protection_loss
from apdm.protectors.l2p import LookAhead
from apdm.seeding import generator

FAMILIES = dict.fromkeys(("epsilon", "v_prediction"), tiny_stable_diffusion)
STEPS = 2
ATTACKS: dict[str, Personalizer] = {
    "dreambooth": DreamBooth(learning_rate=1e-3, max_train_steps=STEPS),
    "dreambooth with its text encoder": DreamBooth(1e-3, STEPS, train_text_encoder=True),
    "dreambooth, flipped and cropped": DreamBooth(1e-3, STEPS, random_flip=True, random_crop=0.8),
    "lora": LoRA(1e-2, STEPS),
    "lora with its text encoder": LoRA(1e-2, STEPS, train_text_encoder=True),
    "custom diffusion": CustomDiffusion(1e-2, STEPS, initializer_token="a"),
    "custom diffusion, all of cross-attention": CustomDiffusion(
        1e-2, STEPS, freeze_model="crossattn", initializer_token="a", augment=False
    ),
    "textual inversion": TextualInversion(1e-2, STEPS, initializer_token="a", num_vectors=2),
}


def pictures(seed: int) -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=generator(seed)) * 2 - 1


def material(model: Backbone, attack: Personalizer) -> Material:
    word = attack.placeholder_token or "sks"
    subject = model.encode(pictures(1), f"a photo of {word} dog")
    return Material(subject, model.encode(pictures(2), "a photo of dog"))


def text_state(model: Any) -> dict[str, torch.Tensor]:
    return copy.deepcopy(model.pipeline.text_encoder.state_dict())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest):
    return FAMILIES[request.param](request.param)


@pytest.fixture(params=ATTACKS)
def attack(request: pytest.FixtureRequest) -> Personalizer:
    return ATTACKS[request.param]


def test_the_input_stays_as_it_is_and_something_was_learnt(model, attack) -> None:
    network, text = copy.deepcopy(model.network.state_dict()), text_state(model)
    tokens, given = len(model.pipeline.tokenizer), material(model, attack)
    attacked = personalize(model, attack, given, 0)
    assert same(network, model.network.state_dict())
    assert same(text, model.pipeline.text_encoder.state_dict())
    assert len(model.pipeline.tokenizer) == tokens
    prompt = [given.instance.prompt]
    noisy, t = torch.randn(1, 4, 8, 8, generator=generator(3)), torch.tensor([500])
    with torch.no_grad():
        before = model.predict(noisy, t, model.encode_prompts(prompt))
        after = attacked.predict(noisy, t, attacked.encode_prompts(prompt))
    assert not torch.allclose(before, after, rtol=1e-4, atol=1e-6)


def test_what_it_attaches_it_ejects(model, attack) -> None:
    attacked = model.copy()
    network, text = copy.deepcopy(attacked.network.state_dict()), text_state(attacked)
    own = attacked.pipeline.text_encoder
    attachment = attack.attach(attacked)
    assert attachment.trainable
    assert all(weight.requires_grad for weight in attachment.trainable)
    attack.loss(attacked, material(model, attack), generator(0)).backward()
    assert all(weight.grad is not None for weight in attachment.trainable)
    attachment.eject()
    assert same(network, attacked.network.state_dict())
    assert attacked.pipeline.text_encoder is own
    assert same(text, attacked.pipeline.text_encoder.state_dict())
    assert not any(weight.requires_grad for weight in attacked.network.parameters())


def test_every_protected_weight_gets_a_protection_gradient(model, attack) -> None:
    """Under every attack: whatever the attacker trains, the protector finds what to move."""
    given = material(model, attack)
    assert given.prior is not None
    protected = model.copy()
    protected.network.requires_grad_(True)
    of_both = ProtectionMaterial(given.instance, given.instance, given.prior)
    settings = APDM(simulated=attack, inner_steps=1)
    look_ahead = LookAhead(protected, attack, 1)
    look_ahead.gather(given, lambda m, draws: protection_loss(m, model, of_both, settings, draws), 0)
    assert protected.weights().keys() == look_ahead.attachment.effective.keys()
    without = [n for n, w in protected.weights().items() if w.grad is None or not w.grad.any()]
    assert without == []


def test_each_look_ahead_starts_where_the_first_did(model, attack) -> None:
    """Adapters, words and text encoders too, and with no gradient left over."""
    protected = model.copy()
    protected.network.requires_grad_(True)
    look_ahead = LookAhead(protected, attack, STEPS)
    given = material(model, attack)

    def anywhere(m: Backbone, draws: torch.Generator) -> torch.Tensor:
        return sum((w.square().sum() for w in look_ahead.attachment.effective.values()), torch.zeros(()))

    reached = []
    for _ in range(2):
        look_ahead.gather(given, anywhere, 7)
        reached.append([weight.detach().clone() for weight in look_ahead.attachment.trainable])
        assert not any(w.grad is not None and w.grad.any() for w in look_ahead.attachment.trainable)
    assert all(torch.equal(one, other) for one, other in zip(*reached, strict=True))


def test_an_attacked_model_draws_and_is_copied(model, attack) -> None:
    from apdm.backbones.base import Sampling

    given = material(model, attack)
    attacked = personalize(model, attack, given, 0)
    sampling = Sampling(num_inference_steps=2, guidance_scale=2.0)
    drawn = attacked.generate([given.instance.prompt], [0], sampling)
    assert torch.equal(attacked.copy().generate([given.instance.prompt], [0], sampling), drawn)
    assert not torch.equal(model.generate([given.instance.prompt], [0], sampling), drawn)
