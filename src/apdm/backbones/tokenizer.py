"""A small CLIP tokenizer for models of our own: whole words for a given vocabulary, bytes for the rest."""

from __future__ import annotations

from collections.abc import Iterable

from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

END_OF_WORD = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"


def word_tokenizer(words: Iterable[str], max_length: int) -> CLIPTokenizer:
    """A real `CLIPTokenizer` in which each of `words` is one token and any other text is spelt.

    Every word is built letter by letter from the left, so the vocabulary is the 256 bytes, the same
    at a word's end, the prefixes of the words, and the two marks.
    """
    letters = list(bytes_to_unicode().values())
    vocabulary = letters + [letter + END_OF_WORD for letter in letters]
    merges: list[tuple[str, str]] = []
    for word in sorted(set(words)):
        pieces = [*word[:-1], word[-1] + END_OF_WORD]
        whole = pieces[0]
        for piece in pieces[1:]:
            if (whole, piece) not in merges:
                merges.append((whole, piece))
                vocabulary.append(whole + piece)
            whole += piece
    vocabulary = [*dict.fromkeys(vocabulary), START, END]
    return CLIPTokenizer(
        vocab={token: number for number, token in enumerate(vocabulary)},
        merges=merges,  # pyright: ignore[reportArgumentType]  (pairs are what tokenizers takes)
        model_max_length=max_length,
    )
