"""`apdm protect` as a person types it: whose flags there are, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

WEIGHTS = "diffusion_pytorch_model.safetensors"


def test_missing_model_is_said_before_the_photos_are_read(refused: Callable[..., str]) -> None:
    rest = ("--subject", "nowhere", "--class_noun", "dog", "--output_dir", "x")
    assert "no/such/model" in refused("protect", "no/such/model", *rest)


def test_a_full_output_folder_is_refused_and_left_alone(
    refused: Callable[..., str], model: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    rest = ("--subject", photos, "--class_noun", "dog", "--output_dir", out)
    assert "not empty" in refused("protect", model, *rest)
    assert (out / "mine.txt").read_text() == "mine"


def test_the_flags_of_protect_are_those_of_its_method(
    run: Callable[..., None], refused: Callable[..., str], model: Path, photos: Path, tmp_path: Path
) -> None:
    rest = ("--subject", photos, "--class_noun", "dog", "--num_inference_steps", "1", "--method", "imma")
    settings = ("--max_train_steps", "2", "--simulated.learning_rate", "1e-3")
    assert "--outer_steps" in refused("protect", model, *rest, "--outer_steps", "1", "--output_dir", "x")
    assert "did you mean 'imma'" in refused("protect", model, "--method", "imma2")
    run("protect", model, *rest, *settings, "--output_dir", tmp_path / "immune")
    written = json.loads((tmp_path / "immune" / "apdm.json").read_text())
    assert (written["method"], written["protection"]["kind"]) == ("imma", "IMMA")
    assert written["protection"]["simulated"]["learning_rate"] == 1e-3
    assert "IMMA (ECCV 2024)" in (tmp_path / "immune" / "README.md").read_text()
    before, after = (load_file(it / "unet" / WEIGHTS) for it in (model, tmp_path / "immune"))
    changed = [name for name, weight in after.items() if not torch.equal(weight, before[name])]
    assert changed
    assert all(".attn" in name for name in changed)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--resolution", "-1"), "resolution is -1: give a multiple of 8"),
        (("--mixed_precision", "fp16"), "a look-ahead's are not: give --mixed_precision bf16"),
        (
            ("--method", "imma", "--offload"),
            "IMMA (ECCV 2024) keeps nothing that could be offloaded: leave out --offload",
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
    assert said in refused("protect", *job, *arguments)
