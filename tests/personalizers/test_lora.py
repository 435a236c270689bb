"""LoRA: what is added, what stays, and that plain diffusers reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch.testing import assert_close

from apdm.backbones.base import Sampling
from apdm.backbones.pipeline import PipelineBackbone
from apdm.backbones.tiny import tiny_flux, tiny_sd3, tiny_stable_diffusion
from apdm.errors import InputError
from apdm.personalizers.base import Material, personalize
from apdm.personalizers.lora import LoRA
from apdm.seeding import generator

PROMPT = "a photo of sks dog"
ATTACK = LoRA(learning_rate=1e-2, max_train_steps=3, rank=2, lora_alpha=6.0)


def test_the_defaults_are_diffusers_recipe() -> None:
    attack = LoRA()
    assert (attack.learning_rate, attack.max_train_steps, attack.train_batch_size) == (1e-4, 500, 1)
    assert (attack.rank, attack.lora_alpha) == (4, None)


def test_every_attention_projection_is_base_plus_alpha_over_r_times_b_a() -> None:
    model = tiny_stable_diffusion()
    projections = {name for name in model.group("attention") if name.endswith("weight")}
    attachment = ATTACK.attach(model)
    with torch.no_grad():
        for number, factor in enumerate(attachment.trainable):
            factor.copy_(torch.randn(factor.shape, generator=generator(number)))
    layers = {name: module for name, module in model.network.named_modules() if hasattr(module, "lora_A")}
    assert {f"{name}.weight" for name in layers} == projections
    assert len(attachment.trainable) == 2 * len(layers)
    for name, layer in layers.items():
        base, (a, b) = attachment.effective[f"{name}.weight"], (layer.lora_A, layer.lora_B)
        x = torch.randn(2, base.shape[1], generator=generator(9))
        bias = attachment.effective.get(f"{name}.bias", torch.zeros(len(base)))
        whole = base + (6.0 / 2) * b["default"].weight @ a["default"].weight
        assert_close(layer(x), x @ whole.T + bias, rtol=1e-4, atol=1e-4)


def test_the_factors_begin_as_nothing_and_by_their_seed() -> None:
    first, same, other = (ATTACK.attach(tiny_stable_diffusion(), seed).trainable for seed in (0, 0, 1))
    a, b = first[::2], first[1::2]
    assert not any(factor.any() for factor in b)
    assert torch.cat([factor.flatten() for factor in a]).std().item() == pytest.approx(1 / 2, rel=0.1)
    assert all(torch.equal(x, y) for x, y in zip(first, same, strict=True))
    assert not any(torch.equal(x, y) for x, y in zip(a, other[::2], strict=True))


def test_the_base_stays_as_it_is(tiny) -> None:
    pixels = torch.rand(2, 3, 16, 16, generator=generator(1)) * 2 - 1
    attacked = personalize(tiny, ATTACK, Material(tiny.encode(pixels, PROMPT), None), 0)
    bases = {n.replace(".base_layer", ""): w for n, w in attacked.weights().items() if "lora_" not in n}
    assert all(torch.equal(weight, bases[name]) for name, weight in tiny.weights().items())


def test_plain_diffusers_loads_it(tiny, tmp_path: Path) -> None:
    pixels = torch.rand(2, 3, 16, 16, generator=generator(1)) * 2 - 1
    attacked = personalize(tiny, ATTACK, Material(tiny.encode(pixels, PROMPT), None), 0)
    ATTACK.save(attacked, tmp_path / "adapter")
    tiny.save(tmp_path / "base")
    plain = StableDiffusionPipeline.from_pretrained(tmp_path / "base", safety_checker=None)
    draw = {
        "prompt": PROMPT,
        "num_inference_steps": 3,
        "guidance_scale": 3.0,
        "output_type": "pt",
    }
    plain.set_progress_bar_config(disable=True)
    without = plain(**draw, generator=torch.Generator().manual_seed(5)).images
    plain.load_lora_weights(tmp_path / "adapter")
    loaded = plain(**draw, generator=torch.Generator().manual_seed(5)).images
    ours = attacked.generate([PROMPT], [5], Sampling(num_inference_steps=3, guidance_scale=3.0))
    assert_close(loaded, (ours + 1) / 2, rtol=0, atol=2e-3)
    assert (without - loaded).abs().max() > 10 * (loaded - (ours + 1) / 2).abs().max()


@pytest.mark.parametrize("make", [tiny_sd3, tiny_flux])
def test_attention_over_picture_and_text_gets_factors_on_both_sides(
    make: Callable[[], PipelineBackbone],
) -> None:
    """Every projection of an MMDiT's attention, as diffusers' SD3 script has them."""
    model = make().copy()
    ATTACK.attach(model)
    layers = {name.partition(".lora_")[0] for name, _ in model.network.named_parameters() if ".lora_" in name}
    assert {name.partition(".attn.")[2] for name in layers} == {
        *("to_q", "to_k", "to_v", "to_out.0"),
        *("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"),
    }


@pytest.mark.parametrize("rank", [2, 8])
def test_alpha_is_the_rank_unless_given(rank: int) -> None:
    model = tiny_stable_diffusion()
    LoRA(rank=rank).attach(model)
    scales = {module.scaling["default"] for module in model.network.modules() if hasattr(module, "lora_A")}
    assert scales == {1.0}


def test_an_alpha_that_adds_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"lora_alpha is 0\.0: give more than 0"):
        LoRA(lora_alpha=0.0)


def test_attaching_draws_from_no_common_stream_and_no_two_parts_alike() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    model = tiny_sd3()
    torch.manual_seed(3)
    factors = LoRA(train_text_encoder=True).attach(model).trainable[::2]
    assert torch.equal(torch.rand(1), expected)
    of_text = [f for f in factors if f.shape == factors[-1].shape]
    assert len({f.sum().item() for f in of_text}) == len(of_text)
