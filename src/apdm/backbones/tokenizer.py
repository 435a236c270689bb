"""A small CLIP tokenizer for models of our own: whole words for a given vocabulary, bytes for the rest."""

from __future__ import annotations

from collections.abc import Iterable

from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

END_OF_WORD = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"


def word_tokenizer(words: Iterable[str], max_length: int) -> CLIPTokenizer:
    """A real `CLIPTokenizer` in which each of `words` is one token and any other text is spelt.

    Every word is built letter by letter from its *end*: a merge then needs the end-of-word mark, so
    in any word there is one place at most where one applies, and no word can break up another. The
    vocabulary is the 256 bytes, the same at a word's end, the endings of the words, and two marks.
    """
    letters = list(bytes_to_unicode().values())
    vocabulary = letters + [letter + END_OF_WORD for letter in letters]
    merges: list[tuple[str, str]] = []
    for word in sorted(set(words)):
        ending = word[-1] + END_OF_WORD
        for letter in reversed(word[:-1]):
            if (letter, ending) not in merges:
                merges.append((letter, ending))
            ending = letter + ending
            vocabulary.append(ending)
    vocabulary = [*dict.fromkeys(vocabulary), START, END]
    return CLIPTokenizer(
        vocab={token: number for number, token in enumerate(vocabulary)},
        merges=merges,  # pyright: ignore[reportArgumentType]  (pairs are what tokenizers takes)
        model_max_length=max_length,
    )
