"""What the tests of judges share."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest
import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    ViTConfig,
    ViTModel,
)

from apdm.backbones.tokenizer import word_tokenizer


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


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CLIP with random weights, twelve tokens and pictures of 32 pixels, as the hub keeps one."""
    folder = tmp_path_factory.mktemp("clip") / "tiny-clip"
    tokenizer = word_tokenizer(("a", "photo", "of", "dog", "red", "blue", "object"), max_length=12)
    size = len(tokenizer)
    shape = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "initializer_range": 0.2,
    }
    marks = {"bos_token_id": size - 2, "eos_token_id": size - 1, "pad_token_id": size - 1}
    text = CLIPTextConfig(vocab_size=size, max_position_embeddings=12, **shape, **marks)
    vision = CLIPVisionConfig(image_size=32, patch_size=8, **shape)
    torch.manual_seed(0)
    network = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor = CLIPImageProcessorPil(image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.25, 0.3])
    processor.save_pretrained(folder)
    return folder
