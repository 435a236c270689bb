"""A new word, in every text encoder that learns words and in no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from apdm.backbones.load import load
from apdm.backbones.tiny import tiny_sd3, tiny_sdxl
from apdm.backbones.words import learn_word, pairs
from apdm.errors import InputError


def test_each_clip_encoder_learns_rows_of_its_own_width() -> None:
    model = tiny_sdxl()
    tables = [model.text[encoder].get_input_embeddings().weight for _, encoder in pairs(model)]
    words = [len(model.text[tokenizer]) for tokenizer, _ in pairs(model)]
    rows = learn_word(model, "<new1>", 2, "dog")
    assert [tuple(row.shape) for row in rows] == [(2, 32), (2, 64)]
    token = model.pipeline.tokenizer("dog", add_special_tokens=False).input_ids[0]
    for row, table in zip(rows, tables, strict=True):
        assert torch.equal(row, table[[token, token]])
    assert [len(model.text[tokenizer]) for tokenizer, _ in pairs(model)] == [count + 2 for count in words]


def test_t5_learns_no_word_and_spells_it() -> None:
    model = tiny_sd3()
    known, table = len(model.pipeline.tokenizer_3), model.pipeline.text_encoder_3.get_input_embeddings()
    assert len(learn_word(model, "<new1>", 1, "dog")) == 2
    assert len(model.pipeline.tokenizer_3) == known
    assert model.pipeline.text_encoder_3.get_input_embeddings() is table
    assert len(model.pipeline.tokenizer_3("<new1>", add_special_tokens=False).input_ids) > 1


def test_a_word_that_is_known_is_refused() -> None:
    model = tiny_sdxl()
    learn_word(model, "<new1>", 1, "dog")
    with pytest.raises(InputError, match="knows the word '<new1>' already"):
        learn_word(model, "<new1>", 1, "dog")


def test_a_saved_model_knows_its_words(tmp_path: Path) -> None:
    model = tiny_sdxl()
    for row in learn_word(model, "<new1>", 1, "dog"):
        torch.nn.init.ones_(row)
    before = model.encode_prompts(["a photo of <new1>"]).parts
    model.save(tmp_path)
    after = load(str(tmp_path)).encode_prompts(["a photo of <new1>"]).parts
    for name, part in before.items():
        assert_close(after[name], part)
