"""Stable Diffusion over diffusers' components, against diffusers itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import EDMEulerScheduler, StableDiffusionPipeline
from torch.testing import assert_close

from apdm.backbones.base import Backbone, Sampling
from apdm.backbones.load import load
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.backbones.tiny import tiny_stable_diffusion
from apdm.errors import InputError
from apdm.schedules import DDPMSchedule
from apdm.seeding import generator

FAST = Sampling(num_inference_steps=3)
PROMPTS = ["a photo of dog", "a portrait of cat", "a photo of sks person"]


def pictures(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=generator(count)) * 2 - 1


def test_a_picture_depends_on_its_own_seed_only(tiny: Backbone) -> None:
    together = tiny.generate(PROMPTS, [1, 2, 3], FAST)
    alone = [tiny.generate([p], [s], FAST) for p, s in zip(PROMPTS, [1, 2, 3], strict=True)]
    in_pieces = tiny.generate(PROMPTS, [1, 2, 3], Sampling(num_inference_steps=3, sample_batch_size=2))
    assert together.shape == (3, 3, 16, 16)
    assert_close(together, torch.cat(alone), rtol=0, atol=1e-4)
    assert_close(together, in_pieces, rtol=0, atol=1e-4)
    assert (tiny.generate(PROMPTS[:1], [2], FAST) - alone[0]).abs().max() > 0.1


def test_generating_leaves_no_trace(tiny: Backbone) -> None:
    """Neither the global random state nor a former run's sampler has a say."""
    first = tiny.generate(PROMPTS[:1], [1], FAST)
    tiny.generate(PROMPTS[1:], [8, 9], Sampling(num_inference_steps=5, guidance_scale=1.0))
    before = torch.get_rng_state()
    assert torch.equal(tiny.generate(PROMPTS[:1], [1], FAST), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_prompt_and_guidance_reach_the_picture(tiny: Backbone) -> None:
    base = tiny.generate(["a photo of dog"], [1], FAST)
    other_prompt = tiny.generate(["cat cat cat cat cat"], [1], FAST)
    unguided = tiny.generate(["a photo of dog"], [1], Sampling(num_inference_steps=3, guidance_scale=1.0))
    assert (base - other_prompt).abs().max() > 1e-3
    assert (base - unguided).abs().max() > 1e-3


def test_pictures_stay_in_range(tiny: Backbone) -> None:
    wild = tiny.generate(PROMPTS, [1, 2, 3], Sampling(num_inference_steps=2, guidance_scale=100.0))
    assert wild.min() == -1
    assert wild.max() == 1
    assert not wild.requires_grad


def test_the_watch_counts_pictures(tiny: Backbone, heard) -> None:
    sampling = Sampling(num_inference_steps=1, sample_batch_size=2)
    tiny.generate(PROMPTS, [1, 2, 3], sampling, heard)
    assert heard.steps == [("generate", done, 3) for done in (0, 2, 3)]


def test_plain_diffusers_makes_the_same_pictures_from_a_saved_folder(tiny: Backbone, tmp_path: Path) -> None:
    protected = tiny.copy()
    with torch.no_grad():
        next(protected.network.parameters()).add_(0.05)
    protected.save(tmp_path)
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path)
    pipeline.set_progress_bar_config(disable=True)
    output: Any = pipeline(
        PROMPTS,
        generator=[torch.Generator().manual_seed(seed) for seed in (1, 2, 3)],
        num_inference_steps=3,
        guidance_scale=7.5,
        output_type="pt",
    )
    ours = protected.generate(PROMPTS, [1, 2, 3], FAST)
    assert_close(ours / 2 + 0.5, output.images, rtol=0, atol=1e-5)
    assert (ours - tiny.generate(PROMPTS, [1, 2, 3], FAST)).abs().max() > 1e-3


def test_a_saved_folder_does_not_tell_where_the_model_was(tiny: Backbone, tmp_path: Path) -> None:
    tiny.save(tmp_path / "alice")
    load(str(tmp_path / "alice")).save(tmp_path / "published")
    configs = [path.read_text() for path in (tmp_path / "published").rglob("*.json")]
    assert len(configs) > 4
    assert not any("alice" in text for text in configs)


def test_a_saved_folder_holds_safetensors_and_no_pickle(tiny: Backbone, tmp_path: Path) -> None:
    tiny.save(tmp_path)
    kinds = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert kinds == {".json", ".safetensors"}


def test_moments_are_the_autoencoders_times_its_scale(tiny: StableDiffusion) -> None:
    pixels = pictures(11)  # more than one batch
    moments = tiny.encode_images(pixels)
    posterior = tiny.pipeline.vae.encode(pixels).latent_dist
    assert_close(moments.mean, posterior.mean * 0.18215)
    assert_close(moments.deviation, posterior.std * 0.18215)
    assert moments.mean.shape == (11, 4, 8, 8)
    assert not moments.mean.requires_grad


def test_moments_have_a_gradient_in_the_pixels(tiny: StableDiffusion) -> None:
    pixels = pictures(11).requires_grad_()
    moments = tiny.encode_images(pixels)
    for part in (moments.mean, moments.deviation):
        (gradient,) = torch.autograd.grad(part.square().sum(), pixels, retain_graph=True)
        assert (gradient.abs().sum((1, 2, 3)) > 0).all()


def test_decoding_undoes_the_scale_and_clamps(tiny: StableDiffusion) -> None:
    latents = torch.randn(2, 4, 8, 8, generator=generator(0))
    with torch.no_grad():
        assert_close(
            tiny.decode_images(latents), tiny.pipeline.vae.decode(latents / 0.18215).sample.clamp(-1, 1)
        )
    assert tiny.decode_images(1e4 * latents).abs().max() == 1


def test_features_are_the_last_up_blocks_residual_outputs(tiny: StableDiffusion) -> None:
    noisy = torch.randn(2, 4, 8, 8, generator=generator(0)).requires_grad_()
    condition, t = tiny.encode_prompts(PROMPTS[:2]), torch.tensor([3, 700])
    with tiny.features() as features:
        predicted = tiny.predict(noisy, t, condition)
    assert [tuple(part.shape) for part in features] == [(2, 8, 8, 8)] * 2  # layers_per_block + 1
    (gradient,) = torch.autograd.grad(features[-1].square().sum(), noisy)
    assert gradient.abs().sum() > 0
    assert torch.equal(tiny.predict(noisy, t, condition), predicted)
    assert len(features) == 2  # closed: it hears no more


def test_the_condition_is_the_text_encoders_last_hidden_state(tiny: StableDiffusion) -> None:
    condition = tiny.encode_prompts(PROMPTS)
    expected, _ = tiny.pipeline.encode_prompt(
        PROMPTS, torch.device("cpu"), 1, do_classifier_free_guidance=False
    )
    assert_close(condition.parts["text"], expected)
    assert len(condition) == 3


def test_a_long_prompt_is_cut_to_the_models_length(tiny: Backbone) -> None:
    assert tiny.encode_prompts(["dog " * 100]).parts["text"].shape == (1, 20, 32)


def test_word_features_are_the_conditions_rows_without_padding(tiny: StableDiffusion) -> None:
    short, long = tiny.word_features(["a dog", "a photo of " + 30 * "dog "])
    assert short.shape == (4, 32)  # start, a, dog, end
    assert len(long) == 20
    assert_close(short, tiny.encode_prompts(["a dog"]).parts["text"][0, :4])
    assert not short.requires_grad


def test_encoded_images_know_their_prompt(tiny: StableDiffusion) -> None:
    assert tiny.encode(pictures(2), "a photo of dog").prompt == "a photo of dog"


def test_prompts_reach_the_tokenizer_as_they_are(
    tiny: StableDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published scripts hand it quotes and underscores."""
    seen, tokenizer = [], tiny.pipeline.tokenizer

    class Spy:
        def __getattr__(self, name):
            return getattr(tokenizer, name)

        def __call__(self, texts, **settings):
            seen.extend(texts)
            return tokenizer(texts, **settings)

    monkeypatch.setattr(tiny.pipeline, "tokenizer", Spy())
    tiny.encode(pictures(1), "a photo of sks dog")
    assert seen == ["a photo of sks dog"]
    tokens = tokenizer.tokenize("a photo of sks dog")
    assert tokens == ["a</w>", "photo</w>", "of</w>", "s", "k", "s</w>", "dog</w>"]


def test_the_condition_can_be_differentiated_where_the_encoder_asks_for_it() -> None:
    model = tiny_stable_diffusion()
    assert not model.encode_prompts(["dog"]).parts["text"].requires_grad
    model.pipeline.text_encoder.requires_grad_(True)
    assert model.encode_prompts(["dog"]).parts["text"].requires_grad


def test_the_prediction_is_the_unets(tiny: StableDiffusion) -> None:
    noisy, t = torch.randn(2, 4, 8, 8, generator=generator(0)), torch.tensor([3, 900])
    condition = tiny.encode_prompts(PROMPTS[:2])
    expected = tiny.pipeline.unet(noisy, t, condition.parts["text"]).sample
    assert torch.equal(tiny.predict(noisy, t, condition), expected)
    assert (tiny.predict(noisy, torch.tensor([3, 3]), condition)[1] - expected[1]).abs().max() > 1e-3


def test_nothing_is_trainable_at_first(tiny: StableDiffusion) -> None:
    parts = (tiny.network, tiny.pipeline.vae, tiny.pipeline.text_encoder)
    assert not any(weight.requires_grad for part in parts for weight in part.parameters())
    assert not any(part.training for part in parts)


def test_a_copy_has_a_network_of_its_own_and_shares_the_rest() -> None:
    model = tiny_stable_diffusion()
    copy = model.copy()
    before = model.generate(PROMPTS, [1, 2, 3], FAST)
    assert torch.equal(copy.generate(PROMPTS, [1, 2, 3], FAST), before)
    assert copy.weights().keys() == model.weights().keys()
    with torch.no_grad():
        for weight in copy.network.parameters():
            weight.zero_()
    copy.network.requires_grad_(True)
    copy.pipeline.scheduler.set_timesteps(7)
    assert torch.equal(model.generate(PROMPTS, [1, 2, 3], FAST), before)
    assert not any(weight.requires_grad for weight in model.network.parameters())
    assert copy.pipeline.scheduler is not model.pipeline.scheduler
    assert copy.pipeline.vae is model.pipeline.vae
    assert copy.pipeline.text_encoder is model.pipeline.text_encoder


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_schedule_and_size_come_from_the_model(prediction_type: str) -> None:
    original = tiny_stable_diffusion(prediction_type)
    for model in (original, original.copy()):
        assert isinstance(model.schedule, DDPMSchedule)
        assert model.schedule.prediction_type == prediction_type
        assert torch.equal(model.schedule.kept, original.pipeline.scheduler.alphas_cumprod)
        assert len(model.schedule.kept) == 1000
        assert model.resolution == 16


def test_a_model_of_other_noise_is_refused(tiny: StableDiffusion, tmp_path: Path) -> None:
    """EDM's schedulers know no products of alphas, and its networks take other inputs."""
    tiny.save(tmp_path)
    EDMEulerScheduler().save_pretrained(tmp_path / "scheduler")
    index = json.loads((tmp_path / "model_index.json").read_text())
    (tmp_path / "model_index.json").write_text(
        json.dumps(index | {"scheduler": ["diffusers", "EDMEulerScheduler"]})
    )
    with pytest.raises(InputError, match="the scheduler EDMEulerScheduler, of no discrete diffusion"):
        load(str(tmp_path))


def test_tiny_models_come_from_their_seed() -> None:
    before = torch.get_rng_state()
    first, same, other = (next(tiny_stable_diffusion(seed=s).network.parameters()) for s in (3, 3, 4))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
