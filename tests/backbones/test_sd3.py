"""Stable Diffusion 3's condition, by its parts, and its objective, by the training script's steps."""

from __future__ import annotations

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch.testing import assert_close

from apdm.backbones.base import Sampling
from apdm.backbones.sd3 import StableDiffusion3
from apdm.backbones.tiny import tiny_sd3
from apdm.losses.denoising import denoising_error
from apdm.schedules import FlowSchedule
from apdm.seeding import generator

PROMPTS = ["a photo of dog", "a portrait of cat"]


@pytest.fixture(scope="module")
def model() -> StableDiffusion3:
    return tiny_sd3()


def test_the_condition_is_clip_padded_to_t5s_width_and_t5_after_it(model: StableDiffusion3) -> None:
    parts = model.encode_prompts(PROMPTS).parts
    tokens = model.pipeline.tokenizer(PROMPTS, padding="max_length", return_tensors="pt").input_ids
    first, second = (
        encoder(tokens, output_hidden_states=True)
        for encoder in (model.pipeline.text_encoder, model.pipeline.text_encoder_2)
    )
    assert parts["text"].shape == (2, 20 + 256, 64)
    assert torch.equal(parts["text"][:, :20, :32], first.hidden_states[1])
    assert torch.equal(parts["text"][:, :20, 32:], second.hidden_states[1])
    assert torch.equal(parts["pooled"], torch.cat([first.text_embeds, second.text_embeds], dim=1))
    assert parts["text"][:, 20:].any()


def test_narrow_clip_states_are_padded_with_zeros() -> None:
    wide = tiny_sd3()
    wide._t5 = lambda prompts: torch.ones(len(prompts), 5, 70)
    text = wide.encode_prompts(PROMPTS).parts["text"]
    assert text.shape == (2, 25, 70)
    assert not text[:, :20, 64:].any()


def test_a_model_without_t5_gets_zeros_in_its_place() -> None:
    model = tiny_sd3(with_t5=False)
    assert list(model.text) == ["tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2"]
    text = model.encode_prompts(PROMPTS).parts["text"]
    assert text.shape == (2, 276, 64)
    assert not text[:, 20:].any()


def test_the_schedule_is_the_schedulers_and_sampling_does_not_move_it(model: StableDiffusion3) -> None:
    model.generate(PROMPTS[:1], [0], Sampling(num_inference_steps=2))
    expected = FlowMatchEulerDiscreteScheduler(shift=3.0).sigmas
    for backbone in (model, model.copy()):
        assert isinstance(backbone.schedule, FlowSchedule)
        assert torch.equal(backbone.schedule.sigmas, expected)


def test_the_error_is_that_of_the_training_script(model: StableDiffusion3) -> None:
    """Its steps one by one: sigma from the table, the straight path, the preconditioned output."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    clean, noise = torch.randn(2, 3, 4, 8, 8, generator=generator(0)).unbind()
    index = torch.tensor([10, 500, 990])
    t, sigma = scheduler.timesteps[index], scheduler.sigmas[index].view(3, 1, 1, 1)
    condition = model.encode_prompts(["a photo of dog"]).repeat(3)
    noisy = (1.0 - sigma) * clean + sigma * noise
    output = model.network(
        hidden_states=noisy,
        timestep=t,
        encoder_hidden_states=condition.parts["text"],
        pooled_projections=condition.parts["pooled"],
        return_dict=False,
    )[0]
    expected = (output * -sigma + noisy - clean) ** 2
    assert_close(denoising_error(model, clean, condition, noise, t), expected, rtol=1e-4, atol=1e-6)


def test_a_step_is_a_patch_of_latents() -> None:
    pipeline = tiny_sd3().pipeline
    pipeline.transformer.register_to_config(patch_size=2)
    assert StableDiffusion3(pipeline, "of two").step == 2 * 2
