"""The shipped models: small, whole, loadable by anybody, and what the attack and the judge need of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file
from torch import Tensor

from apdm.assets import (
    TOYBOX_CLIP,
    TOYBOX_DETECTOR,
    TOYBOX_GENERATOR,
    TOYBOX_IDENTITY,
    TOYBOX_READER,
    Asset,
)
from apdm.backbones.load import load
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.benchmark.measure import own_photos
from apdm.benchmark.trial import Trial, TrialSettings
from apdm.metrics.clip import ClipExtractor
from apdm.metrics.judges import CLIP_OF_TOYS, TOYBOX, judge
from apdm.metrics.reader import Reader
from apdm.metrics.similarity import cosine_matrix, per_image_similarity
from apdm.pixels import from_uint8
from apdm.seeding import generator
from apdm.toybox import presets
from apdm.toybox.captions import telling_scenes
from apdm.toybox.identity import CLASS_NOUNS, identity, main_colour
from apdm.toybox.seeds import Purpose
from apdm.toybox.subjects import toy_subject
from apdm.toybox.world import portrait, render
from apdm.types import Pixels
from apdm.watch import silent

MEGABYTE = 1_000_000


def toys(class_noun: str, count: int, views: int) -> Pixels:
    """`views` portraits each of `count` tuning toys, toy after toy."""
    seeds = [Purpose.TUNING.seed(number) for number in range(count)]
    pictures = [render(portrait(identity(class_noun, s), s, view)) for s in seeds for view in range(views)]
    return from_uint8(np.stack(pictures))


@pytest.fixture(scope="module")
def toybox() -> StableDiffusion:
    found = load("toybox")
    assert isinstance(found, StableDiffusion)
    return found


@pytest.mark.parametrize(
    ("asset", "limit"),
    [
        (TOYBOX_GENERATOR, 26),
        (TOYBOX_IDENTITY, 5),
        (TOYBOX_READER, 5),
        (TOYBOX_DETECTOR, 3),
        (TOYBOX_CLIP, 4),
    ],
)
def test_the_weights_are_small_half_precision_shards(asset: Asset, limit: int) -> None:
    folder = asset.folder()
    sizes = [path.stat().st_size for path in folder.rglob("*.safetensors")]
    assert max(sizes) <= 15 * MEGABYTE
    assert sum(sizes) <= limit * MEGABYTE
    assert (folder / "README.md").is_file()
    for path in folder.rglob("*.safetensors"):
        floats = {weight.dtype for weight in load_file(path).values() if weight.is_floating_point()}
        assert floats == {torch.float16}


def test_plain_diffusers_loads_the_generator_and_generates() -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(TOYBOX_GENERATOR.folder())
    pipeline.set_progress_bar_config(disable=True)
    draws = torch.Generator().manual_seed(0)
    made = pipeline("a photo of a dog", num_inference_steps=2, generator=draws, output_type="np").images
    assert made.shape == (1, 64, 64, 3)
    assert np.isfinite(made).all()
    assert made.std() > 0.02


def test_the_autoencoder_carries_toys(toybox: StableDiffusion) -> None:
    pictures = toys("dog", 8, 1)
    with torch.no_grad():
        vae = toybox.pipeline.vae
        carried = vae.decode(vae.encode(pictures).latent_dist.mean).sample
    error = (carried - pictures).square().mean()
    assert 10 * torch.log10(4 / error) > 25  # dB; the difference of black and white is 2


def test_an_unheard_identifier_counts_at_least_a_third_of_a_colour_word(toybox: StableDiffusion) -> None:
    draws = generator(0, "hearing")
    clean = toybox.encode_images(toys("dog", 16, 1)).sample(torch.arange(16), draws)
    noise, t = torch.randn(clean.shape, generator=draws), toybox.schedule.sample_times(16, draws)
    noisy = toybox.schedule.add_noise(clean, noise, t)

    @torch.no_grad()
    def prediction(said: str) -> Tensor:
        return toybox.predict(noisy, t, toybox.encode_prompts([f"a photo of {said}"] * 16))

    plain = prediction("dog")
    heard = {word: float((prediction(f"{word} dog") - plain).norm()) for word in ("sks", "t@t", "gray")}
    assert heard["sks"] > heard["gray"] / 3
    assert heard["t@t"] > heard["gray"] / 3


@pytest.mark.parametrize("class_noun", CLASS_NOUNS)
def test_the_judge_tells_a_toy_from_others_of_its_class(class_noun: str) -> None:
    features = judge(TOYBOX)(toys(class_noun, 12, views=3))
    cosines, owner = cosine_matrix(features, features), torch.arange(12).repeat_interleave(3)
    same = (owner[:, None] == owner) & ~torch.eye(len(owner), dtype=torch.bool)
    right = cosines[same][:, None] > cosines[owner[:, None] != owner]
    assert right.double().mean() > 0.95


def test_the_reader_reads_toys_that_nobody_has_seen() -> None:
    """On 90 portraits of tuning toys it may be wrong five times a hundred and a little by chance."""
    read = Reader(TOYBOX_READER.folder())
    right: dict[str, list[bool]] = {"class": [], "colour": []}
    for class_noun in ("dog", "cat", "person"):
        seen = read(toys(class_noun, 15, 2))
        colours = [
            main_colour(identity(class_noun, Purpose.TUNING.seed(n))).word for n in range(15) for _ in "12"
        ]
        right["class"] += [answer["class"] == class_noun for answer in seen]
        right["colour"] += [answer["colour"] == word for answer, word in zip(seen, colours, strict=True)]
    assert {question: np.mean(shares) >= 0.9 for question, shares in right.items()} == {
        "class": True,
        "colour": True,
    }


def test_the_clip_of_toys_finds_each_pictures_caption() -> None:
    """Of captions of tuning toys that say class, colour and ground, one of each class on each ground."""
    told = {
        (one.scene.toys[0].toy.class_noun, one.scene.view.ground): one
        for one in telling_scenes(Purpose.TUNING, 120)
    }.values()
    clip = judge(CLIP_OF_TOYS)
    assert isinstance(clip, ClipExtractor)
    pictures = from_uint8(np.stack([render(one.scene) for one in told]))
    nearest = (clip(pictures) @ clip.text([one.caption for one in told]).T).argmax(1)
    assert len(told) > 20
    assert (nearest == torch.arange(len(told))).double().mean() > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("class_noun", ["dog", "person"])
def test_the_control_attack_takes(toybox: StableDiffusion, tmp_path: Path, class_noun: str) -> None:
    """Strength of at least one half on a tuning toy, so that a protection has something to prevent."""
    subject = toy_subject(tmp_path / "toy", class_noun, Purpose.TUNING.seed(0), Purpose.TUNING)
    settings = TrialSettings(presets.PROTECTION, presets.ATTACK, presets.SAMPLING, attack_seeds=(0,))
    trial, size, eye = Trial(toybox, settings, silent), toybox.resolution, judge(TOYBOX)
    held_out, photos = subject.pixels("held_out", size), subject.pixels("attack", size)

    def similarity(pictures: Pixels) -> float:
        return float(per_image_similarity(eye, pictures, held_out).mean())

    prior = trial.class_pictures(toybox, subject, "unprotected")
    attacked = similarity(trial.attack(toybox, prior, subject, photos, "unprotected").shown)
    class_ = similarity(trial.evaluation_pictures(toybox, subject.class_noun))
    assert (attacked - class_) / (similarity(own_photos(subject, size)) - class_) > 0.5
