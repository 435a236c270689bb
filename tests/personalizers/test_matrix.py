"""What every attack must do on every tiny family: take, leave its input alone, eject, and be found again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from torch import nn
from torch.testing import assert_close

from apdm.backbones.base import Backbone, Sampling
from apdm.backbones.pipeline import PipelineBackbone
from apdm.backbones.sdxl import StableDiffusionXL
from apdm.backbones.tiny import FAMILIES
from apdm.errors import InputError
from apdm.personalizers.base import Material, Personalizer, personalize
from apdm.personalizers.custom_diffusion import CustomDiffusion
from apdm.personalizers.dreambooth import DreamBooth
from apdm.personalizers.lora import LoRA
from apdm.personalizers.textual_inversion import TextualInversion
from apdm.protectors.apdm import APDM, protection_loss
from apdm.protectors.l2p import LookAhead
from apdm.protectors.material import ProtectionMaterial
from apdm.seeding import generator

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
OF_CROSS_ATTENTION = {"custom diffusion", "custom diffusion, all of cross-attention"}
OF_TEXT = {"dreambooth with its text encoder", "lora with its text encoder"}
OPTIONS = {"dreambooth, flipped and cropped", "custom diffusion, all of cross-attention"}
UNHEARD_IN_SD3 = "transformer_blocks.1.attn.add_q_proj"  # the last block's words look, and nothing follows
LEFT_OUT = {  # refused, or the same code as on another family
    "sd1": set(),
    "sd2": OPTIONS | OF_TEXT,
    "sd2-v": OPTIONS | OF_TEXT,
    "sdxl": OPTIONS,
    "sd3": OPTIONS | OF_CROSS_ATTENTION,
    "flux": OPTIONS | OF_CROSS_ATTENTION,
}
CASES = [(family, attack) for family in FAMILIES for attack in ATTACKS if attack not in LEFT_OUT[family]]


def pictures(seed: int) -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=generator(seed)) * 2 - 1


def material(model: Backbone, attack: Personalizer) -> Material:
    word = attack.placeholder_token or "sks"
    subject = model.encode(pictures(1), f"a photo of {word} dog")
    return Material(subject, model.encode(pictures(2), "a photo of dog"))


def text_state(model: Backbone) -> dict[str, torch.Tensor]:
    """Every weight of every text encoder, and how many words each tokenizer knows."""
    state = {}
    for name, part in model.text.items():
        weights = part.state_dict() if isinstance(part, nn.Module) else {"words": torch.tensor(len(part))}
        state |= {f"{name}.{key}": weight.clone() for key, weight in weights.items()}
    return state


def unheard_weights(model: Backbone) -> set[int]:
    """Of SDXL's first encoder, whose last layer nothing listens to."""
    if not isinstance(model, StableDiffusionXL):
        return set()
    encoder = model.text["text_encoder"]
    return {
        id(w) for part in (encoder.encoder.layers[-1], encoder.final_layer_norm) for w in part.parameters()
    }


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@cache
def made(family: str) -> PipelineBackbone:
    return FAMILIES[family]()


@pytest.fixture(params=CASES, ids=" ".join)
def case(request: pytest.FixtureRequest) -> tuple[PipelineBackbone, Personalizer]:
    family, attack = request.param
    return made(family), ATTACKS[attack]


@pytest.fixture
def model(case: tuple[PipelineBackbone, Personalizer]) -> PipelineBackbone:
    return case[0]


@pytest.fixture
def attack(case: tuple[PipelineBackbone, Personalizer]) -> Personalizer:
    return case[1]


def test_the_input_stays_as_it_is_and_something_was_learnt(model, attack) -> None:
    network, text = copy.deepcopy(model.network.state_dict()), text_state(model)
    given = material(model, attack)
    attacked = personalize(model, attack, given, 0)
    assert same(network, model.network.state_dict())
    assert same(text, text_state(model))
    prompt = [given.instance.prompt]
    noisy, t = torch.randn(1, 4, 8, 8, generator=generator(3)), torch.tensor([500])
    with torch.no_grad():
        said, heard = model.encode_prompts(prompt), attacked.encode_prompts(prompt)
        before, after = model.predict(noisy, t, said), attacked.predict(noisy, t, heard)
    assert not torch.allclose(before, after, rtol=1e-4, atol=1e-6)
    of_text = attack.placeholder_token is not None or getattr(attack, "train_text_encoder", False)
    assert torch.equal(said.flat(), heard.flat()) != of_text


def test_what_it_attaches_it_ejects(model, attack) -> None:
    attacked = model.copy()
    network, text = copy.deepcopy(attacked.network.state_dict()), text_state(attacked)
    own = attacked.text
    attachment = attack.attach(attacked)
    assert attachment.trainable
    assert all(weight.requires_grad for weight in attachment.trainable)
    attack.loss(attacked, material(model, attack), generator(0)).backward()
    unheard = unheard_weights(attacked)
    assert all(weight.grad is not None for weight in attachment.trainable if id(weight) not in unheard)
    attachment.eject()
    assert same(network, attacked.network.state_dict())
    assert all(attacked.text[name] is part for name, part in own.items())
    assert same(text, text_state(attacked))
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
    assert [name for name in without if not name.startswith(UNHEARD_IN_SD3)] == []


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
    given = material(model, attack)
    attacked = personalize(model, attack, given, 0)
    sampling = Sampling(num_inference_steps=2, guidance_scale=2.0)
    drawn = attacked.generate([given.instance.prompt], [0], sampling)
    assert torch.equal(attacked.copy().generate([given.instance.prompt], [0], sampling), drawn)
    assert not torch.equal(model.generate([given.instance.prompt], [0], sampling), drawn)


def load_word(pipeline: Any, folder: Path) -> None:
    for file in folder.iterdir():
        number = file.stem.removeprefix("learned_embeds")
        pipeline.load_textual_inversion(
            file,
            tokenizer=getattr(pipeline, f"tokenizer{number}"),
            text_encoder=getattr(pipeline, f"text_encoder{number}"),
        )


READERS: dict[str, Callable[[Any, Path], object]] = {
    "dreambooth with its text encoder": lambda pipeline, folder: None,
    "lora with its text encoder": lambda pipeline, folder: pipeline.load_lora_weights(folder),
    "textual inversion": load_word,
}
SAVED = [(family, attack) for family in ("sdxl", "sd3", "flux") for attack in READERS]
SAVED.remove(("sd3", "textual inversion"))  # diffusers' pipeline of SD3 loads no words


@pytest.mark.parametrize("case", SAVED, indirect=True, ids=" ".join)
def test_plain_diffusers_reads_what_is_saved(model, attack, request, tmp_path: Path) -> None:
    """For several text encoders; for one, the tests of each attack say so."""
    name = request.node.callspec.params["case"][1]
    given = material(model, attack)
    attacked = personalize(model, attack, given, 0)
    base = attacked if isinstance(attack, DreamBooth) and not isinstance(attack, LoRA) else model
    base.save(tmp_path / "base")
    attack.save(attacked, tmp_path / "learnt")
    pipeline: Any = DiffusionPipeline.from_pretrained(tmp_path / "base")
    READERS[name](pipeline, tmp_path / "learnt")
    pipeline.set_progress_bar_config(disable=True)
    settings = {"num_inference_steps": 2, "guidance_scale": 2.0, "output_type": "pt"}
    settings |= {"height": 16, "width": 16}
    drawn = pipeline(given.instance.prompt, generator=torch.Generator().manual_seed(5), **settings).images
    sampling = Sampling(num_inference_steps=2, guidance_scale=2.0)
    ours, before = (m.generate([given.instance.prompt], [5], sampling) for m in (attacked, model))
    assert_close(drawn * 2 - 1, ours, rtol=0, atol=1e-4)
    assert (before - ours).abs().max() > 1e-3


@pytest.mark.parametrize("family", ["sd3", "flux"])
@pytest.mark.parametrize("refused", sorted(OF_CROSS_ATTENTION))
def test_joint_attention_refuses_what_needs_cross_attention(refused: str, family: str) -> None:
    model, attack = made(family).copy(), ATTACKS[refused]
    before = text_state(model)
    with pytest.raises(InputError, match=r"(SD3|Flux)Transformer2DModel has no cross"):
        attack.attach(model)
    assert same(before, text_state(model))
    assert not any(weight.requires_grad for weight in model.network.parameters())
