"""The mean over a text's own tokens, whatever it is batched with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer

from apdm.errors import InputError
from apdm.metrics.sentences import MeanPooledEncoder

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue", "dog", "the"]
TEXTS = ("red", "the blue dog", "blue")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sentences") / "tiny-bert"
    config = BertConfig(
        vocab_size=len(TOKENS),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        initializer_range=0.5,
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    BertTokenizer(vocab={token: number for number, token in enumerate(TOKENS)}).save_pretrained(folder)
    return folder


def test_a_text_is_the_mean_of_its_tokens_at_unit_length(folder: Path) -> None:
    network, tokenizer = BertModel.from_pretrained(folder), BertTokenizer.from_pretrained(folder)
    expected = []
    for text in TEXTS:
        with torch.no_grad():
            states = network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        expected.append(states.mean(0) / states.mean(0).norm())
    encoder = MeanPooledEncoder(folder)
    assert torch.allclose(encoder(TEXTS), torch.stack(expected), atol=1e-5)
    assert encoder.name == "tiny-bert"


def test_another_kind_of_network_is_refused(clip_folder: Path) -> None:
    with pytest.raises(InputError, match="is a clip: give a sentence encoder"):
        MeanPooledEncoder(clip_folder)
