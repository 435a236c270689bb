"""Flux's condition, by its parts, its objective, by the training script's steps, and its squares."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline
from torch.testing import assert_close

from apdm.backbones.base import Sampling
from apdm.backbones.flux import Flux, packed, places, unpacked
from apdm.backbones.tiny import tiny_flux
from apdm.errors import InputError
from apdm.losses.denoising import denoising_error
from apdm.schedules import FlowSchedule
from apdm.seeding import generator

PROMPTS = ["a photo of dog", "a portrait of cat"]


@pytest.fixture(scope="module")
def model() -> Flux:
    return tiny_flux()


def test_the_condition_is_t5s_sequence_and_clips_pooled_vector(model: Flux) -> None:
    parts, pipeline = model.encode_prompts(PROMPTS).parts, model.pipeline
    of_clip = pipeline.tokenizer(PROMPTS, padding="max_length", return_tensors="pt").input_ids
    of_t5 = pipeline.tokenizer_2(PROMPTS, padding="max_length", max_length=512, return_tensors="pt").input_ids
    assert parts["text"].shape == (2, 512, 64)
    assert torch.equal(parts["text"], pipeline.text_encoder_2(of_t5).last_hidden_state)
    assert torch.equal(parts["pooled"], pipeline.text_encoder(of_clip).pooler_output)


def test_a_square_of_four_latents_is_a_row_channel_by_channel() -> None:
    latents = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    rows = packed(latents)
    assert rows.shape == (2, 6, 12)
    assert torch.equal(rows[1, 4], latents[1, :, 2:4, 2:4].flatten())  # the second row's second
    assert torch.equal(rows, FluxPipeline._pack_latents(latents, 2, 3, 4, 6))
    assert torch.equal(unpacked(rows, 2), latents)


def test_a_square_is_told_its_row_and_column() -> None:
    assert places(2, 3, torch.device("cpu")).tolist() == [[0, y, x] for y in range(2) for x in range(3)]


def test_pictures_that_make_no_whole_squares_are_refused(model: Flux) -> None:
    assert model.encode_images(torch.zeros(1, 3, 8, 16)).mean.shape == (1, 4, 4, 8)
    with pytest.raises(InputError, match=r"16 x 18 pixels do not fit 'tiny-flux': give .* multiple of 4"):
        model.encode_images(torch.zeros(1, 3, 16, 18))


def test_a_step_is_two_latents(model: Flux) -> None:
    assert (model.factor, model.step) == (2, 4)


def test_the_resolution_is_the_autoencoders() -> None:
    pipeline = tiny_flux().pipeline
    pipeline.vae.register_to_config(sample_size=32)
    model = Flux(pipeline, "larger")
    assert model.resolution == 32
    assert model.generate(PROMPTS[:1], [0], Sampling(num_inference_steps=1)).shape == (1, 3, 32, 32)


def test_times_are_uniform_unshifted_and_unweighted_and_sampling_does_not_move_them(model: Flux) -> None:
    """As the script has them of FLUX.1-dev, whose shift depends on the picture's size."""
    model.generate(PROMPTS[:1], [0], Sampling(num_inference_steps=2))
    for backbone in (model, model.copy()):
        schedule = backbone.schedule
        assert isinstance(schedule, FlowSchedule)
        assert_close(schedule.sigmas, torch.arange(1000, 0, -1) / 1000)
        assert (schedule.weighting, schedule.precondition) == ("uniform", False)


def test_a_fixed_shift_is_the_schedulers() -> None:
    pipeline = tiny_flux().pipeline
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    schedule: Any = Flux(pipeline, "shifted").schedule
    assert torch.equal(schedule.sigmas, pipeline.scheduler.sigmas)


@pytest.mark.parametrize("guided", [True, False], ids=["dev", "schnell"])
def test_the_error_is_that_of_the_training_script(guided: bool) -> None:
    """Its steps one by one: sigma from the table, the straight path, rows, t / 1000, guidance 1 where the
    network asks for one, latents again, e - z0."""
    model, scheduler = tiny_flux(guided), FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    clean, noise = torch.randn(2, 3, 4, 8, 8, generator=generator(0)).unbind()
    index = torch.tensor([10, 500, 990])
    t, sigma = scheduler.timesteps[index], scheduler.sigmas[index].view(3, 1, 1, 1)
    condition = model.encode_prompts(["a photo of dog"]).repeat(3)
    noisy = (1.0 - sigma) * clean + sigma * noise
    output = model.network(
        hidden_states=FluxPipeline._pack_latents(noisy, 3, 4, 8, 8),
        timestep=t / 1000,
        guidance=torch.tensor([1.0]).expand(3) if guided else None,
        pooled_projections=condition.parts["pooled"],
        encoder_hidden_states=condition.parts["text"],
        txt_ids=torch.zeros(512, 3),
        img_ids=FluxPipeline._prepare_latent_image_ids(3, 4, 4, "cpu", torch.float32),
        return_dict=False,
    )[0]
    expected = (FluxPipeline._unpack_latents(output, 16, 16, 2) - (noise - clean)) ** 2
    assert_close(denoising_error(model, clean, condition, noise, t), expected, rtol=1e-4, atol=1e-6)


def test_guidance_is_a_number_that_the_pictures_hear(model: Flux) -> None:
    drawn = [model.generate(PROMPTS[:1], [0], Sampling(2, guidance_scale=scale)) for scale in (1.0, 7.5)]
    assert (drawn[0] - drawn[1]).abs().max() > 1e-3
