"""Words that a model learns: new rows of its text encoders' embeddings, and of their tokenizers."""

from __future__ import annotations

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
    return [pair for pair in both if not isinstance(backbone.text[pair[1]], T5EncoderModel)]


def learn_word(backbone: Backbone, word: str, vectors: int, like: str) -> list[nn.Parameter]:
    """Makes `word` one token (or `vectors` tokens) of each text encoder that learns words; returns its rows
    [vectors d].

    They begin as the first token of the word `like`. The further tokens are called word_1, word_2, ...,
    as diffusers calls them. Changes `backbone.text` in place: give it one of its own first. Raises
    `InputError` if a tokenizer knows `word` already.
    """
    learnt = []
    for tokenizer_name, encoder_name in pairs(backbone):
        tokenizer, encoder = backbone.text[tokenizer_name], backbone.text[encoder_name]
        token = tokenizer(like, add_special_tokens=False).input_ids[0]
        words = [word, *(f"{word}_{number}" for number in range(1, vectors))]
        if not tokenizer.get_vocab().keys().isdisjoint(words):
            raise InputError(f"the model knows the word '{word}' already", fix="take another, such as <new1>")
        tokenizer.add_tokens(words)
        table = encoder.get_input_embeddings()
        rows = LearntRows(table, table.weight[token].detach().repeat(vectors, 1))
        encoder.set_input_embeddings(rows)
        learnt.append(rows.rows)
    return learnt


def fold_words(backbone: Backbone) -> None:
    """Makes learnt words ordinary rows of the embeddings, so that the model can be saved as any other."""
    for _, encoder_name in pairs(backbone):
        encoder = backbone.text[encoder_name]
        embedding = encoder.get_input_embeddings()
        if isinstance(embedding, LearntRows):
            whole = embedding.weight.detach()
            encoder.set_input_embeddings(nn.Embedding.from_pretrained(whole))
            encoder.config.vocab_size = len(whole)
