"""What every family must do, against diffusers' own pipelines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from torch.testing import assert_close

from apdm.backbones.base import Sampling
from apdm.backbones.flux import Flux
from apdm.backbones.pipeline import PipelineBackbone, latent_scale
from apdm.backbones.tiny import FAMILIES, tiny_flux, tiny_sd3, tiny_sdxl
from apdm.backbones.words import learn_word
from apdm.errors import InputError
from apdm.seeding import generator

ALL: dict[str, Callable[[], PipelineBackbone]] = FAMILIES | {
    "sd3 without T5": lambda: tiny_sd3(False),
    "flux without guidance": lambda: tiny_flux(False),
}
FAST = Sampling(num_inference_steps=3)
CONDITIONS = (
    *("encoder_hidden_states", "pooled_projections", "text_embeds", "time_ids"),
    *("guidance", "img_ids", "txt_ids"),
)
PROMPTS = ["a photo of dog", "a portrait of cat", "a photo of sks person"]


@pytest.fixture(scope="module", params=ALL)
def model(request: pytest.FixtureRequest) -> PipelineBackbone:
    return ALL[request.param]()


def test_a_picture_depends_on_its_own_seed_only(model: PipelineBackbone) -> None:
    together = model.generate(PROMPTS, [1, 2, 3], FAST)
    alone = [model.generate([p], [s], FAST) for p, s in zip(PROMPTS, [1, 2, 3], strict=True)]
    assert together.shape == (3, 3, 16, 16)
    assert_close(together, torch.cat(alone), rtol=0, atol=1e-4)
    assert (model.generate(PROMPTS[:1], [2], FAST) - alone[0]).abs().max() > 0.1


def plain_pictures(model: PipelineBackbone, folder: Path) -> torch.Tensor:
    """What diffusers alone makes of `model`, saved in a folder."""
    absent = {name: None for name in model.spoken if name not in model.text}
    pipeline: Any = DiffusionPipeline.from_pretrained(folder, **absent)
    pipeline.set_progress_bar_config(disable=True)
    draws = [torch.Generator().manual_seed(seed) for seed in (1, 2, 3)]
    settings = {"num_inference_steps": 3, "guidance_scale": 7.5, "output_type": "pt"}
    size = {"height": 16, "width": 16} if isinstance(model, Flux) else {}  # the large one's otherwise
    return pipeline(PROMPTS, generator=draws, **settings, **size).images * 2 - 1


def test_plain_diffusers_makes_the_same_pictures_from_a_saved_folder(
    model: PipelineBackbone, tmp_path: Path
) -> None:
    changed = model.copy()
    with torch.no_grad():
        for weight in changed.network.parameters():
            weight.mul_(1.1)
    changed.save(tmp_path)
    ours = changed.generate(PROMPTS, [1, 2, 3], FAST)
    assert_close(ours, plain_pictures(model, tmp_path), rtol=0, atol=2e-5)
    assert (ours - model.generate(PROMPTS, [1, 2, 3], FAST)).abs().max() > 1e-3


def test_a_copy_has_a_network_of_its_own_and_shares_the_rest(model: PipelineBackbone) -> None:
    before = model.generate(PROMPTS[:1], [1], FAST)
    twin = model.copy()
    twin.generate(PROMPTS[:1], [1], Sampling(num_inference_steps=7))  # which sets the scheduler
    with torch.no_grad():
        for weight in twin.network.parameters():
            weight.zero_()
    assert torch.equal(model.generate(PROMPTS[:1], [1], FAST), before)
    assert twin.pipeline.config.keys() == model.pipeline.config.keys()
    mine, theirs = model.pipeline.components, twin.pipeline.components
    assert {name for name in mine if mine[name] is not theirs[name]} == {model.place, "scheduler"}
    twin.text = dict.fromkeys(twin.text)
    assert all(part is not None for part in model.text.values())


def test_nothing_is_trainable_at_first(model: PipelineBackbone) -> None:
    for part in (model.network, model.pipeline.vae, *model.text_encoders()):
        assert not any(weight.requires_grad for weight in part.parameters())
        assert not part.training


def listening(model: PipelineBackbone, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """What the network is conditioned on, call by call, from now on."""
    heard: list[dict[str, torch.Tensor]] = []
    forward = model.network.forward

    def spy(*given: Any, **named: Any) -> Any:
        told = named | (named.get("added_cond_kwargs") or {})
        heard.append({name: told[name] for name in CONDITIONS if told.get(name) is not None})
        return forward(*given, **named)

    monkeypatch.setattr(model.network, "forward", spy)
    return heard


@pytest.mark.parametrize("family", ALL)
def test_the_network_hears_what_the_pipeline_tells_it(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompt, pooled vectors, time ids: whatever the pipeline hands over for a prompt, we do too; of a learnt
    word all of its tokens."""
    model = ALL[family]()
    rows = learn_word(model, "<new1>", 2, "dog")
    with torch.no_grad():
        for row in rows:
            row[1] += 1
    prompts = ["a photo of dog", "a portrait of cat", "a photo of <new1> dog"]
    heard = listening(model, monkeypatch)
    model.generate(prompts, [1, 2, 3], Sampling(num_inference_steps=1, guidance_scale=1.0))
    noisy, t = torch.zeros(3, 4, 8, 8), torch.full((3,), 500)
    with torch.no_grad():
        model.predict(noisy, t, model.encode_prompts(prompts))
    theirs, ours = heard
    assert ours.keys() == theirs.keys() >= {"encoder_hidden_states"}
    for name, value in theirs.items():
        assert_close(ours[name], value, rtol=1e-5, atol=1e-5)


def sdxl_of_an_empty_prompt() -> PipelineBackbone:
    model = tiny_sdxl()
    model.pipeline.register_to_config(force_zeros_for_empty_prompt=False)
    return model


GUIDED = {name: make for name, make in ALL.items() if "flux" not in name} | {
    "sdxl of an empty prompt": sdxl_of_an_empty_prompt
}


@pytest.mark.parametrize("family", GUIDED)
def test_no_prompt_is_what_a_guided_picture_is_drawn_away_from(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = GUIDED[family]()
    heard = listening(model, monkeypatch)
    model.generate(PROMPTS[:1], [1], Sampling(num_inference_steps=1))
    with torch.no_grad():
        model.predict(torch.zeros(1, 4, 8, 8), torch.tensor([500]), model.unconditional())
    theirs, ours = heard
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert_close(ours[name], value[:1], rtol=1e-5, atol=1e-5)
        assert len(value) == 2


def test_the_condition_can_be_differentiated_where_the_encoders_ask_for_it() -> None:
    for make in ALL.values():
        model = make()
        for encoder in model.text_encoders():
            encoder.requires_grad_(True)
        condition = model.encode_prompts(PROMPTS)
        sum(part.square().sum() for part in condition.parts.values()).backward()  # pyright: ignore[reportAttributeAccessIssue]
        for encoder in model.text_encoders():
            assert any(weight.grad is not None and weight.grad.any() for weight in encoder.parameters())


def test_moments_follow_the_pixels_and_decoding_undoes_the_scaling(model: PipelineBackbone) -> None:
    pixels = torch.rand(2, 3, 16, 16, generator=generator(0)) * 2 - 1
    moments = model.encode_images(pixels.requires_grad_())
    assert moments.mean.shape == (2, 4, 8, 8)
    slope = torch.autograd.grad(moments.mean.sum(), pixels)[0]
    assert slope.any()
    vae = model.pipeline.vae
    posterior = vae.encode(pixels).latent_dist
    assert_close(model.decode_images(moments.mean), vae.decode(posterior.mean).sample.clamp(-1, 1))


SCALES = {
    "a scale": ({"scaling_factor": 0.5}, 0.0, 0.5),
    "shift and scale, SD3": ({"scaling_factor": 1.5, "shift_factor": 0.2}, 0.2, 1.5),
    "mean and deviation, newer SDXL": (
        {"scaling_factor": 0.5, "latents_mean": [1.0, 2, 3, 4], "latents_std": [1.0, 2, 4, 8]},
        [1.0, 2, 3, 4],
        [0.5, 0.25, 0.125, 0.0625],
    ),
}


@pytest.mark.parametrize("kind", SCALES)
def test_latents_are_shifted_and_scaled_as_the_autoencoder_says(kind: str) -> None:
    settings, shift, scale = SCALES[kind]
    model = tiny_sdxl()
    vae = model.pipeline.vae
    vae.register_to_config(**settings)
    pixels = torch.rand(1, 3, 16, 16, generator=generator(1)) * 2 - 1
    posterior = vae.encode(pixels).latent_dist
    by_channel = [torch.tensor(value).view(-1, 1, 1) for value in (shift, scale)]
    moments = model.encode_images(pixels)
    assert_close(moments.mean, (posterior.mean - by_channel[0]) * by_channel[1])
    assert_close(moments.deviation, posterior.std * by_channel[1])
    assert_close(
        model.decode_images(moments.mean), vae.decode(posterior.mean).sample.clamp(-1, 1), atol=1e-4, rtol=0
    )


def test_the_families_scales_are_the_published_ones() -> None:
    scales = {name: latent_scale(make().pipeline.vae) for name, make in FAMILIES.items()}
    assert scales["sd1"] == scales["sd2"] == scales["sd2-v"] == (0.0, 0.18215)
    assert scales["sdxl"] == (0.0, 0.13025)
    assert scales["sd3"] == (0.0609, 1.5305)
    assert scales["flux"] == (0.1159, 0.3611)


def test_every_network_has_attention_and_only_unets_look_across(model: PipelineBackbone) -> None:
    attention = model.group("attention")
    assert any(name.endswith("to_q.weight") for name in attention)
    if model.place == "unet":
        across = model.group("cross_kv")
        assert across.keys() < model.group("cross_attention").keys() < attention.keys()
        assert {name.split(".")[-2] for name in across} == {"to_k", "to_v"}
    else:
        assert any("add_k_proj" in name for name in attention)
        with pytest.raises(InputError, match="has no cross kv"):
            model.group("cross_kv")
