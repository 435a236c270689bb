"""Stable Diffusion XL's condition, by its parts."""

from __future__ import annotations

import pytest
import torch

from apdm.backbones.sdxl import StableDiffusionXL
from apdm.backbones.tiny import tiny_sdxl
from apdm.schedules import DDPMSchedule
from apdm.seeding import generator

PROMPTS = ["a photo of dog", "a portrait of cat"]


@pytest.fixture(scope="module")
def model() -> StableDiffusionXL:
    return tiny_sdxl()


def test_the_condition_is_both_penultimate_states_and_the_second_pooled(model: StableDiffusionXL) -> None:
    condition = model.encode_prompts(PROMPTS)
    settings = {"padding": "max_length", "return_tensors": "pt"}
    tokens = model.pipeline.tokenizer(PROMPTS, **settings).input_ids
    first, second = (
        encoder(tokens, output_hidden_states=True)
        for encoder in (model.pipeline.text_encoder, model.pipeline.text_encoder_2)
    )
    assert torch.equal(condition.parts["text"][..., :32], first.hidden_states[1])  # of two layers
    assert torch.equal(condition.parts["text"][..., 32:], second.hidden_states[1])
    assert torch.equal(condition.parts["pooled"], second.text_embeds)
    assert condition.parts["pooled"].shape == (2, 32)


@pytest.mark.parametrize("latents", [(8, 8), (4, 4), (16, 4)])  # the model's own, half of it, no square
def test_each_picture_is_told_the_size_that_one_as_large_is_asked_for_with(
    model: StableDiffusionXL, monkeypatch: pytest.MonkeyPatch, latents: tuple[int, int]
) -> None:
    told = []
    forward = model.network.forward
    monkeypatch.setattr(
        model.network,
        "forward",
        lambda *given, added_cond_kwargs, **named: (
            told.append(added_cond_kwargs["time_ids"])
            or forward(*given, added_cond_kwargs=added_cond_kwargs, **named)
        ),
    )
    height, width = (2 * side for side in latents)
    model.predict(torch.zeros(2, 4, *latents), torch.tensor([3, 900]), model.encode_prompts(PROMPTS))
    model.pipeline(PROMPTS, height=height, width=width, num_inference_steps=1, guidance_scale=1.0)
    learning, drawing = told
    assert learning.tolist() == drawing.tolist() == [[height, width, 0, 0, height, width]] * 2


def test_pooled_vector_and_text_both_reach_the_prediction(model: StableDiffusionXL) -> None:
    noisy, t = torch.randn(1, 4, 8, 8, generator=generator(0)), torch.tensor([500])
    dog, cat = model.encode_prompts(["dog"]), model.encode_prompts(["cat cat cat"])
    for part in ("text", "pooled"):
        mixed = type(dog)({**dog.parts, part: cat.parts[part]})
        assert not torch.equal(model.predict(noisy, t, dog), model.predict(noisy, t, mixed))


def test_the_schedule_is_that_of_training_whatever_the_sampler_does(model: StableDiffusionXL) -> None:
    assert isinstance(model.schedule, DDPMSchedule)
    assert torch.equal(model.schedule.kept, model.pipeline.scheduler.alphas_cumprod)
    assert model.schedule.prediction_type == "epsilon"
