"""What the tests of judges share."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest
import torch
from transformers import ViTConfig, ViTModel


class SaveViT(Protocol):
    def __call__(self, folder: Path, image_size: int, patch_size: int, dropout: float = 0.0) -> Path: ...


@pytest.fixture(scope="session")
def save_vit() -> SaveViT:
    """Writes a small ViT with random weights."""

    def save(folder: Path, image_size: int, patch_size: int, dropout: float = 0.0) -> Path:
        config = ViTConfig(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=image_size,
            patch_size=patch_size,
            hidden_dropout_prob=dropout,
            initializer_range=0.2,
        )
        torch.manual_seed(0)
        ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
        return folder

    return save
