"""`apdm personalize` as a person types it: what each attack leaves, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion


def test_the_class_images_of_an_attack_come_from_the_model_that_is_named(
    run: Callable[..., None], model: Path, photos: Path, tmp_path: Path, tiny: StableDiffusion
) -> None:
    """Two attacks that differ in nothing but who drew their class images end in different weights."""
    with torch.no_grad():
        other = tiny.copy()
        for weight in other.network.parameters():
            weight.mul_(1.5)
    other.save(tmp_path / "foreign")
    quick = ("--num_class_images", "2", "--num_inference_steps", "2", "--max_train_steps", "1")
    named = {"own": (), "same": ("--class_model", model), "other": ("--class_model", tmp_path / "foreign")}
    found = {}
    for name, choice in named.items():
        subject = ("--subject", photos, "--class_noun", "dog", "--learning_rate", "1e-3")
        run("personalize", model, *subject, *quick, *choice, "--output_dir", tmp_path / name)
        found[name] = (tmp_path / name / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    assert found["own"] == found["same"] != found["other"]


@pytest.mark.parametrize(
    ("method", "made"),
    [
        ("lora", "pytorch_lora_weights.safetensors"),
        ("textual-inversion", "learned_embeds.safetensors"),
        ("custom-diffusion", "model_index.json"),
    ],
)
def test_every_attack_leaves_what_its_field_shares(
    run: Callable[..., None], model: Path, photos: Path, tmp_path: Path, method: str, made: str
) -> None:
    quick = ("--num_class_images", "2", "--num_inference_steps", "2", "--max_train_steps", "1")
    subject = ("--subject", photos, "--class_noun", "dog")
    run("personalize", model, "--method", method, *subject, *quick, "--output_dir", tmp_path / "out")
    assert (tmp_path / "out" / made).is_file()
    assert (tmp_path / "out" / "unet").exists() == (made == "model_index.json")
    settings = json.loads((tmp_path / "out" / "apdm.json").read_text())
    assert settings["subject"]["identifier"] == ("sks" if method == "lora" else "<new1>")
    assert f"tags: [apdm, attacked, {method}]" in (tmp_path / "out" / "README.md").read_text()


def test_a_prompt_may_have_the_new_word_before_a_comma(
    run: Callable[..., None], model: Path, photos: Path, tmp_path: Path
) -> None:
    prompt = "a photo of <new1>, outdoors"
    subject = ("--subject", photos, "--class_noun", "dog", "--instance_prompt", prompt)
    quick = ("--max_train_steps", "1", "--output_dir", tmp_path / "out")
    run("personalize", model, "--method", "textual-inversion", *subject, *quick)
    assert (tmp_path / "out" / "learned_embeds.safetensors").is_file()


def test_a_disk_that_fills_up_while_saving_leaves_no_model(
    failed: Callable[..., list[str]], model: Path, photos: Path, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    arguments = ("personalize", model, "--subject", photos, "--class_noun", "dog", "--max_train_steps", "1")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        said = failed(*arguments, "--no-with_prior_preservation", "--output_dir", tmp_path / "attacked")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "attacked' could not be written" in said[-1]
    assert [path.name for path in (tmp_path / "attacked").iterdir()] == ["log.jsonl"]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--resolution", "33"), "resolution is 33: give a multiple of 8"),
        (("--class_model", "toybox", "--no-with_prior_preservation"), "--class_model has nothing to draw"),
        (("--offload",), "an attack keeps nothing that could be offloaded"),
        (("--method", "dreamboth"), "did you mean 'dreambooth'?"),
        (
            ("--method", "textual-inversion", "--identifier", "sks"),
            "the prompt lacks the new word '<new1>': give --identifier '<new1>'",
        ),
    ],
)
def test_what_cannot_be_used_is_one_line(
    arguments: tuple[str, ...],
    said: str,
    model: Path,
    photos: Path,
    tmp_path: Path,
    refused: Callable[..., str],
) -> None:
    job = (model, "--subject", photos, "--class_noun", "dog", "--output_dir", tmp_path / "made")
    assert said in refused("personalize", *job, *arguments)
