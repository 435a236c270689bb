"""Custom Diffusion: what moves, what is shown, and the masked loss by arithmetic."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from apdm.backbones.base import Condition, Sampling
from apdm.backbones.load import load
from apdm.backbones.words import first_token
from apdm.errors import InputError
from apdm.losses.denoising import denoising_error
from apdm.personalizers import custom_diffusion
from apdm.personalizers.base import Material, personalize
from apdm.personalizers.custom_diffusion import CustomDiffusion, rescaled
from apdm.seeding import generator

PROMPT = "a photo of <new1> dog"
ATTACK = CustomDiffusion(learning_rate=1e-2, max_train_steps=3, initializer_token="cat")


def pictures(seed: int, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=generator(seed)) * 2 - 1


def material(model) -> Material:
    return Material(model.encode(pictures(1), PROMPT), model.encode(pictures(2), "a photo of dog"))


def test_the_defaults_are_the_released_codes() -> None:
    assert dataclasses.asdict(CustomDiffusion()) == {
        "learning_rate": 4e-5,
        "max_train_steps": 500,
        "train_batch_size": 2,
        "prior_loss_weight": 1.0,
        "max_grad_norm": 1.0,
        "freeze_model": "crossattn_kv",
        "placeholder_token": "<new1>",
        "initializer_token": "ktn",
        "augment": True,
    }


@pytest.mark.parametrize(
    ("freeze_model", "moving"),
    [("crossattn_kv", {"to_k", "to_v"}), ("crossattn", {"to_q", "to_k", "to_v", "to_out"})],
)
def test_only_cross_attention_and_the_new_word_move(tiny, freeze_model, moving) -> None:
    attack = CustomDiffusion(1e-2, 3, freeze_model=freeze_model, initializer_token="cat")
    attacked = personalize(tiny, attack, material(tiny), 0)
    before = tiny.weights()
    moved = {name for name, weight in attacked.weights().items() if not torch.equal(weight, before[name])}
    projections = [name.split(".attn2.") for name in moved]
    assert all(len(parts) == 2 for parts in projections)
    assert {parts[1].split(".")[0] for parts in projections} == moving
    blocks = {name.split(".attn2.")[0] for name in before if ".attn2." in name}
    assert {parts[0] for parts in projections} == blocks
    rows = attacked.pipeline.text_encoder.get_input_embeddings()
    old = tiny.pipeline.text_encoder.get_input_embeddings().weight
    assert torch.equal(rows.weight[:-1], old)
    assert rows.rows.shape == (1, 32)
    assert not torch.equal(rows.rows[0], old[first_token(tiny.pipeline.tokenizer, "cat")])


def test_the_loss_is_the_masked_mean_plus_the_class(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures, of which one shows its left half only, and two of the class."""
    seen = {}

    def spy(*given):
        seen["errors"] = denoising_error(*given)
        return seen["errors"]

    def half(picture, draws):
        seen["turn"] = seen.get("turn", 0) + 1
        mask = torch.ones(1, 1, 16, 16)
        if seen["turn"] == 1:
            mask[..., 8:] = 0
        return picture, mask, ""

    monkeypatch.setattr(custom_diffusion, "denoising_error", spy)
    monkeypatch.setattr(custom_diffusion, "rescaled", half)
    model = tiny.copy()
    attack = CustomDiffusion(prior_loss_weight=0.5, initializer_token="cat")
    attack.attach(model)
    loss = attack.loss(model, material(model), generator(0))
    e = seen["errors"]  # [4 4 8 8]: latents are half as wide as pictures
    expected = (e[0, :, :, :4].mean() + e[1].mean()) / 2 + 0.5 * e[2:].mean()
    assert_close(loss, expected)


def test_a_picture_is_shown_at_every_size_and_the_prompt_says_so() -> None:
    """A white picture: what is not gray is the picture, and the mask covers just that."""
    sizes, places, said, draws = [], set(), set(), generator(0)
    for _ in range(300):
        shown, mask, prefix = rescaled(torch.ones(1, 3, 30, 30), draws)
        assert shown.shape == (1, 3, 30, 30)
        assert torch.equal(shown[:, :1] > 0.5, mask > 0.5)
        sizes.append(round(mask.sum().item() ** 0.5))
        places.add(tuple(mask[0, 0].nonzero()[0].tolist()))
        said.add((prefix, sizes[-1] < 18, sizes[-1] == 30))
    assert min(sizes) == 10
    assert 0.25 < sizes.count(30) / 300 < 0.45
    tops, lefts = ({place[side] for place in places} for side in (0, 1))
    assert min(len(tops), len(lefts)) > 15  # anywhere: of twenty that the smallest may begin at
    assert len(places) > 100
    small, large = {"a far away ", "a very small "}, {"a zoomed in ", "a close up "}
    assert {prefix for prefix, tiny, _ in said if tiny} == small
    assert {prefix for prefix, tiny, whole in said if not tiny and not whole} == {""}
    assert large <= {prefix for prefix, _, whole in said if whole} <= large | {""}


def test_the_prompt_says_the_size(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = tiny.copy(), []
    ATTACK.attach(model)
    monkeypatch.setattr(
        custom_diffusion, "rescaled", lambda picture, _: (picture, torch.ones(1, 1, 16, 16), "a far away ")
    )
    images = model.encode(pictures(1), PROMPT)
    seen = ATTACK._subject(model, images, generator(0))[2]
    assert seen == ["a far away photo of <new1> dog"] * 2


def test_the_network_is_told_the_size_of_each_picture(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures, of which one is said to be far away, and two of the class."""
    told: list[Condition] = []
    said = iter(["a far away ", ""])

    def spy(backbone, clean, condition, noise, t):
        told.append(condition)
        return denoising_error(backbone, clean, condition, noise, t)

    monkeypatch.setattr(custom_diffusion, "denoising_error", spy)
    monkeypatch.setattr(
        custom_diffusion, "rescaled", lambda picture, _: (picture, torch.ones(1, 1, 16, 16), next(said))
    )
    model = tiny.copy()
    ATTACK.attach(model)
    ATTACK.loss(model, material(model), generator(0))
    prompts = ["a far away photo of <new1> dog", PROMPT, "a photo of dog", "a photo of dog"]
    assert_close(told[0].parts, model.encode_prompts(prompts).parts)


def test_a_saved_model_knows_the_word(tiny, tmp_path: Path) -> None:
    attacked = personalize(tiny, ATTACK, material(tiny), 0)
    ours = attacked.generate([PROMPT], [5], Sampling(num_inference_steps=3, guidance_scale=3.0))
    ATTACK.save(attacked, tmp_path / "model")
    loaded = load(str(tmp_path / "model"))
    again = loaded.generate([PROMPT], [5], Sampling(num_inference_steps=3, guidance_scale=3.0))
    assert_close(again, ours, rtol=0, atol=1e-5)


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(InputError, match="freeze_model is 'all': give crossattn_kv or crossattn"):
        CustomDiffusion(freeze_model="all")  # pyright: ignore[reportArgumentType]
