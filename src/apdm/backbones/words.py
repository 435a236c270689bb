"""Words that a model learns: new rows of its text encoders' embeddings, and of their tokenizers."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from apdm.backbones.base import Backbone
from apdm.errors import InputError


class LearntRows(nn.Module):
    """An embedding with `rows` [k d] after a frozen `table` [n d]. Only `rows` can move: whatever an
    optimizer does, weight decay included, no other word is touched."""

    def __init__(self, table: nn.Embedding, rows: Tensor) -> None:
        super().__init__()
        self.table, self.rows = table, nn.Parameter(rows.clone())

    @property
    def weight(self) -> Tensor:
        """The whole table [n + k d]."""
        return torch.cat([self.table.weight, self.rows])

    def forward(self, tokens: Tensor) -> Tensor:
        known = self.table.num_embeddings
        old = self.table(tokens.clamp(max=known - 1))
        new = self.rows[(tokens - known).clamp(min=0)]
        return torch.where((tokens >= known).unsqueeze(-1), new, old)


def pairs(backbone: Backbone) -> list[tuple[str, str]]:
    """The names of each tokenizer that learns words and its encoder: ("tokenizer_2", "text_encoder_2").

    T5 learns none and goes on spelling them, as in diffusers' scripts unless they are told otherwise.
    """
    from transformers import T5EncoderModel  # its import takes seconds

    names = (name for name in backbone.text if name.startswith("tokenizer"))
    both = [(name, name.replace("tokenizer", "text_encoder")) for name in names]
    return [pair for pair in both if not isinstance(backbone.text.get(pair[1]), T5EncoderModel | None)]


def learning_encoders(backbone: Backbone) -> list[nn.Module]:
    """The text encoders of `pairs`."""
    return [backbone.text[encoder] for _, encoder in pairs(backbone)]


def learn_word(backbone: Backbone, word: str, vectors: int, like: str) -> list[nn.Parameter]:
    """Makes `word` one token (or `vectors` tokens) of each text encoder that learns words; returns its rows
    [vectors d].

    They begin as the token `like`, or as the first that this word is spelt with. The further tokens are
    called word_1, word_2, ..., as diffusers calls them. Changes `backbone.text` in place: give it one of its
    own first. Raises `InputError` if a tokenizer knows `word` already, and for capital letters in a word of
    several tokens: CLIP's tokenizer makes them small, and diffusers would not write the others out.
    """
    if vectors > 1 and word != word.lower():
        raise InputError(f"the word '{word}' of {vectors} tokens has capital letters", fix="write small ones")
    learnt = []
    for tokenizer_name, encoder_name in pairs(backbone):
        tokenizer, encoder = backbone.text[tokenizer_name], backbone.text[encoder_name]
        token = first_token(tokenizer, like)
        words = [word, *(f"{word}_{number}" for number in range(1, vectors))]
        whole = len(tokenizer(word, add_special_tokens=False).input_ids) == 1
        if whole or not tokenizer.get_vocab().keys().isdisjoint(words):
            raise InputError(f"the model knows the word '{word}' already", fix="take another, such as <new1>")
        table = encoder.get_input_embeddings()
        if len(table.weight) > len(tokenizer):  # padded, and a new word's number is the next
            table = nn.Embedding.from_pretrained(table.weight[: len(tokenizer)])
        tokenizer.add_tokens(words)
        rows = LearntRows(table, table.weight[token].detach().repeat(vectors, 1))
        encoder.set_input_embeddings(rows)
        pool_at_the_end(encoder, tokenizer.eos_token_id)
        learnt.append(rows.rows)
    return learnt


def first_token(tokenizer: Any, word: str) -> int:
    """The token that is `word`, whole or, like CLIP's "ktn", as a part; else the first it is spelt with."""
    spelt = tokenizer(word, add_special_tokens=False).input_ids
    return spelt[0] if len(spelt) == 1 else tokenizer.get_vocab().get(word, spelt[0])


def pool_at_the_end(encoder: nn.Module, end: int) -> None:
    """Old configs of CLIP call the end of a text 2, and transformers then pools at the largest number, which
    a new word would be. The true one leaves every old prompt as it was."""
    encoder.config.eos_token_id = end  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
    for part in encoder.modules():
        if getattr(part, "eos_token_id", None) == 2:
            part.eos_token_id = end  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]


def folded(backbone: Backbone) -> dict[str, nn.Module]:
    """Copies of those text encoders that have learnt words, with the words as ordinary rows of the embedding:
    how they are saved. By name; none where nothing was learnt."""
    whole: dict[str, nn.Module] = {}
    for _, name in pairs(backbone):
        if isinstance(backbone.text[name].get_input_embeddings(), LearntRows):
            encoder = copy.deepcopy(backbone.text[name])
            rows = encoder.get_input_embeddings().weight.detach()
            encoder.set_input_embeddings(nn.Embedding.from_pretrained(rows))
            encoder.config.vocab_size = len(rows)
            whole[name] = encoder
    return whole
