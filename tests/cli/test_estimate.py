"""`apdm estimate` as a person types it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


def test_an_estimate_needs_no_photos(
    run: Callable[..., None], refused: Callable[..., str], model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ("--num_class_images", "2", "--num_inference_steps", "3", "--photos", "2")
    run("estimate", model, *quick, "--outer_steps", "1000", "--inner_steps", "2")
    said = capsys.readouterr().out
    assert "0.2 MB network" in said
    assert "24 forward to draw the class and the positives" in said
    assert "14,000 forward and 10,000 backward to protect" in said
    run("estimate", model, *quick, "--method", "imma", "--max_train_steps", "7")
    assert " 14 forward and 14 backward" in capsys.readouterr().out
    lean = ("--gradient_checkpointing", "--offload", "--mixed_precision", "bf16")
    run("estimate", model, *quick, "--inner_steps", "2", *lean)
    assert "14,000 forward and" not in capsys.readouterr().out
    assert "offloaded" in refused("estimate", model, "--method", "ascent", "--offload")
    run("estimate", model, *quick, "--outer_steps", "1000", "--inner_steps", "2", "--subjects", "2")
    assert "28,000 forward and 20,000 backward to protect" in capsys.readouterr().out
    assert "protects against one subject" in refused("estimate", model, "--method=ascent", "--subjects=2")
    assert "subjects is 0: give 1" in refused("estimate", model, "--subjects", "0")
    assert "photos is 0: give 1" in refused("estimate", model, "--photos", "0")
    assert "resolution is 9: give a multiple" in refused("estimate", model, "--resolution", "9")
