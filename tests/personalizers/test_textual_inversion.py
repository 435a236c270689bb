"""Textual Inversion: the new rows move and nothing else, bit by bit."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file
from torch.testing import assert_close

from apdm.backbones.base import Sampling
from apdm.errors import InputError
from apdm.personalizers.base import Material, course, personalize, says
from apdm.personalizers.dreambooth import DreamBooth
from apdm.personalizers.textual_inversion import TextualInversion
from apdm.seeding import generator

PROMPT = "a photo of <new1> dog"
ATTACK = TextualInversion(learning_rate=1e-1, max_train_steps=5, initializer_token="cat", num_vectors=2)


@pytest.fixture
def attacked(tiny):
    pixels = torch.rand(2, 3, 16, 16, generator=generator(1)) * 2 - 1
    return personalize(tiny, ATTACK, Material(tiny.encode(pixels, PROMPT), None), 0)


def test_the_defaults_are_diffusers_recipe() -> None:
    attack = TextualInversion()
    assert (attack.learning_rate, attack.max_train_steps, attack.train_batch_size) == (2e-3, 3000, 4)
    assert (attack.max_grad_norm, attack.num_vectors) == (0.0, 1)


def test_only_the_new_rows_move(tiny, attacked) -> None:
    network, encoder = tiny.network.state_dict(), copy.deepcopy(tiny.pipeline.text_encoder.state_dict())
    assert all(torch.equal(weight, network[name]) for name, weight in attacked.network.state_dict().items())
    table = attacked.pipeline.text_encoder.get_input_embeddings()
    old = tiny.pipeline.text_encoder.get_input_embeddings().weight
    assert torch.equal(table.weight[: len(old)], old)
    begun = old[tiny.pipeline.tokenizer("cat", add_special_tokens=False).input_ids[0]]
    assert table.rows.shape == (2, old.shape[1])
    assert all((row - begun).abs().min() > 0 for row in table.rows)
    theirs = attacked.pipeline.text_encoder.state_dict()
    left = {name for name in encoder if "token_embedding" not in name}
    assert all(torch.equal(encoder[name], theirs[name]) for name in left)


def test_the_prompt_holds_every_row(attacked) -> None:
    tokens = attacked.pipeline.tokenizer.tokenize(
        attacked.pipeline.maybe_convert_prompt(PROMPT, attacked.pipeline.tokenizer)
    )
    assert tokens == ["a</w>", "photo</w>", "of</w>", "<new1>", "<new1>_1", "dog</w>"]


def test_more_rows_than_a_prompt_holds_are_refused() -> None:
    assert TextualInversion(num_vectors=64).num_vectors == 64
    with pytest.raises(InputError, match="num_vectors is 65: give 64 or fewer"):
        TextualInversion(num_vectors=65)


@pytest.mark.parametrize("word", ["s", "dog"])
def test_a_word_that_is_known_is_refused(tiny, word: str) -> None:
    """As a part of others, or as a whole, which CLIP writes "dog</w>"."""
    with pytest.raises(InputError, match=f"knows the word '{word}' already: take another"):
        TextualInversion(placeholder_token=word).attach(tiny.copy())


@pytest.mark.parametrize(
    "prompt", ["a photo of sks dog", "a photo of my<new1> dog", "a photo of <new1>_1 dog"]
)
def test_a_prompt_without_the_word_is_refused(tiny, prompt: str) -> None:
    images = tiny.encode(torch.zeros(1, 3, 16, 16), prompt)
    with pytest.raises(InputError, match=f"'{prompt}' lacks the new word '<new1>'"):
        personalize(tiny, ATTACK, Material(images, None), 0)


def test_no_word_at_all_is_no_word_of_a_prompt() -> None:
    assert says("a photo of <new1>.", "<new1>")
    assert not says("a photo of <new1>.", "")


@pytest.mark.parametrize("prompt", ["a photo of <new1>, outdoors", '"<new1>" (a dog)', "dog/<new1>."])
def test_the_word_may_stand_next_to_punctuation(tiny, attacked, prompt: str) -> None:
    assert "<new1>" in attacked.pipeline.tokenizer.tokenize(prompt)
    images = tiny.encode(torch.zeros(1, 3, 16, 16), prompt)
    personalize(tiny, replace(ATTACK, max_train_steps=1), Material(images, None), 0)


def test_plain_diffusers_loads_it(tiny, attacked, tmp_path: Path) -> None:
    ATTACK.save(attacked, tmp_path / "word")
    stored = load_file(tmp_path / "word" / "learned_embeds.safetensors")
    assert {name: tuple(rows.shape) for name, rows in stored.items()} == {"<new1>": (2, 32)}
    tiny.save(tmp_path / "base")
    plain = StableDiffusionPipeline.from_pretrained(tmp_path / "base", safety_checker=None)
    plain.set_progress_bar_config(disable=True)
    plain.load_textual_inversion(tmp_path / "word" / "learned_embeds.safetensors")
    loaded = plain(
        PROMPT,
        num_inference_steps=3,
        guidance_scale=3.0,
        output_type="pt",
        generator=torch.Generator().manual_seed(5),
    ).images
    ours = attacked.generate([PROMPT], [5], Sampling(num_inference_steps=3, guidance_scale=3.0))
    assert_close(loaded, (ours + 1) / 2, rtol=0, atol=1e-4)


def test_saving_and_copying_on_the_way_change_nothing(tiny, tmp_path: Path) -> None:
    pixels = torch.rand(2, 3, 16, 16, generator=generator(1)) * 2 - 1
    material = Material(tiny.encode(pixels, PROMPT), None)
    rows = []
    for meddled in (False, True):
        for model in course(tiny, ATTACK, material, 0, [2, 4]):
            if meddled:
                model.save(tmp_path / "model")
                model.copy().save(tmp_path / "copy")
            last = model.pipeline.text_encoder.get_input_embeddings().rows
        rows.append(last)
    assert torch.equal(*rows)


def test_class_images_have_no_say(tiny) -> None:
    assert not TextualInversion.uses_class_images
    assert DreamBooth.uses_class_images
    model = tiny.copy()
    ATTACK.attach(model)
    pixels = torch.rand(2, 3, 16, 16, generator=generator(1)) * 2 - 1
    images, prior = model.encode(pixels, PROMPT), model.encode(pixels, "a photo of dog")
    one, other = (ATTACK.loss(model, Material(images, it), generator(0)) for it in (None, prior))
    assert torch.equal(one, other)
