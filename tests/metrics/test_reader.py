"""The reader answers each question among its own answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification

from apdm.errors import InputError
from apdm.metrics.reader import Reader

LABELS = ("class: dog", "class: cat", "ground: snow", "ground: room")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network = ViTForImageClassification(
        ViTConfig(
            image_size=8,
            patch_size=4,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            id2label=dict(enumerate(LABELS)),
        )
    )
    torch.nn.init.zeros_(network.classifier.weight)
    with torch.no_grad():
        network.classifier.bias.copy_(torch.tensor([1.0, 2.0, 0.5, 0.1]))
    network.save_pretrained(tmp_path)
    return tmp_path


def test_each_question_has_its_own_likeliest_answer(folder: Path) -> None:
    """Of the biases 1, 2 | .5, .1 the second and the third win, though .5 is below both of the first two."""
    assert Reader(folder)(torch.zeros(3, 3, 8, 8)) == [{"class": "cat", "ground": "snow"}] * 3


def test_a_folder_without_a_reader_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no reader"):
        Reader(tmp_path / "none")
