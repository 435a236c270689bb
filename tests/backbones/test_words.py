"""Learnt words: which token they begin as, and where an encoder pools once there is one."""

from __future__ import annotations

import pytest
import torch

from apdm.backbones.tiny import tiny_sdxl
from apdm.backbones.tokenizer import word_tokenizer
from apdm.backbones.words import first_token, folded, learn_word
from apdm.errors import InputError
from apdm.personalizers.base import own_text


def test_a_word_that_is_one_token_is_that_token_also_as_a_part() -> None:
    tokenizer = word_tokenizer(("dog",), 20)
    vocabulary = tokenizer.get_vocab()
    assert first_token(tokenizer, "dog") == vocabulary["dog</w>"]
    assert tokenizer.tokenize("sg") == ["s", "g</w>"]
    assert first_token(tokenizer, "sg") == vocabulary["s"]

    class WithPart:
        """As CLIP, which has "ktn" only as a part of longer words."""

        def __call__(self, *given, **settings):
            return tokenizer(*given, **settings)

        def get_vocab(self):
            return vocabulary | {"sg": 7}

    assert first_token(WithPart(), "sg") == 7


def test_with_a_new_word_the_pooled_text_still_hears_the_noun() -> None:
    """Configs of real checkpoints call the end 2, for which transformers pools at the largest number."""
    model = tiny_sdxl()
    encoder = model.pipeline.text_encoder_2
    encoder.config.eos_token_id = 2
    for part in encoder.modules():
        if hasattr(part, "eos_token_id"):
            part.eos_token_id = 2

    def pooled(prompt: str) -> torch.Tensor:
        return model.encode_prompts([prompt]).parts["pooled"].detach()

    before = pooled("a photo of dog")
    own_text(model)
    learn_word(model, "<new1>", 1, "cat")
    assert torch.equal(pooled("a photo of dog"), before)
    apart = (pooled("a photo of <new1> dog") - pooled("a photo of <new1> cat")).abs().max()
    assert apart.item() > 1e-3


@pytest.mark.parametrize("vectors", [1, 3])
def test_a_new_word_begins_as_the_one_that_it_is_like(vectors: int) -> None:
    model = tiny_sdxl()
    own_text(model)
    rows = learn_word(model, "<new1>", vectors, "cat")
    encoders = (model.pipeline.text_encoder, model.pipeline.text_encoder_2)
    cat = first_token(model.pipeline.tokenizer, "cat")
    for learnt, encoder in zip(rows, encoders, strict=True):
        assert torch.equal(learnt, encoder.get_input_embeddings().table.weight[cat].expand(vectors, -1))


@pytest.mark.parametrize("vectors", [1, 3])
def test_the_text_that_is_shared_knows_nothing_of_it(vectors: int) -> None:
    model = tiny_sdxl()
    tokenizer, shared = model.pipeline.tokenizer, model.copy()
    give_back = own_text(model)
    assert [row.shape[0] for row in learn_word(model, "<new1>", vectors, "cat")] == [vectors] * 2
    assert "<new1>" not in tokenizer.get_vocab()
    assert shared.pipeline.tokenizer is tokenizer
    give_back()
    assert model.pipeline.tokenizer is tokenizer


def test_a_word_of_several_tokens_has_no_capitals(tiny) -> None:
    """CLIP's tokenizer makes them small; "V*" is then no name that its further tokens are written out for."""
    model = tiny.copy()
    own_text(model)
    with pytest.raises(InputError, match=r"the word 'V\*' of 3 tokens has capital letters: write small ones"):
        learn_word(model, "V*", 3, "cat")
    assert len(learn_word(model, "V*", 1, "cat")) == 1


@pytest.mark.parametrize("padding", [0, 41])
def test_a_new_word_is_heard_also_where_a_table_is_padded(tiny, padding: int) -> None:
    model = tiny.copy()
    own_text(model)
    encoder, words = model.pipeline.text_encoder, len(model.pipeline.tokenizer)
    encoder.resize_token_embeddings(words + padding)
    (rows,) = learn_word(model, "<new1>", 2, "cat")
    text = model.encode_prompts(["a photo of <new1> dog"]).parts["text"]
    (gradient,) = torch.autograd.grad(text.square().sum(), rows)
    assert (gradient.abs().sum(1) > 0).all()
    assert len(folded(model)["text_encoder"].get_input_embeddings().weight) == words + 2
