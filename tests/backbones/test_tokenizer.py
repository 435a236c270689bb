"""The small CLIP tokenizer: known words whole, everything else spelt."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from apdm.backbones.tiny import WORDS
from apdm.backbones.tokenizer import word_tokenizer

# Words that are parts of each other at every end, and letters that come twice.
TRICKY = (
    "at",
    "cat",
    "cats",
    "hat",
    "on",
    "person",
    "of",
    "roof",
    "or",
    "orange",
    "portrait",
    "teapot",
    "pot",
    "a",
)
DOUBLES = ("eee", "papa", "abab", "b")


@pytest.mark.parametrize("words", [WORDS, TRICKY, DOUBLES])
def test_every_word_is_one_token(words: tuple[str, ...]) -> None:
    tokenizer = word_tokenizer(words, max_length=20)
    spelt = {word: tokenizer.tokenize(word) for word in words}
    assert spelt == {word: [word + "</w>"] for word in words}


def test_words_are_whole_within_a_sentence_too() -> None:
    tokens = word_tokenizer(TRICKY, max_length=20).tokenize("A portrait of cats, at: person")
    assert tokens == ["a</w>", "portrait</w>", "of</w>", "cats</w>", ",</w>", "at</w>", ":</w>", "person</w>"]


def test_other_text_is_spelt() -> None:
    tokenizer = word_tokenizer(("dog",), max_length=20)
    assert tokenizer.tokenize("sks t@t") == ["s", "k", "s</w>", "t</w>", "@</w>", "t</w>"]
    for stranger in ("dogs", "hotdog", "doge"):
        pieces = tokenizer.tokenize(stranger)
        assert "".join(pieces) == stranger + "</w>"
        assert len(pieces) > 1


@pytest.mark.parametrize("text", ["zwx 7", "naïve", "犬の写真", "🐕", "a_b", "\"q'"])
def test_any_text_has_tokens_of_its_own(text: str) -> None:
    tokenizer = word_tokenizer(WORDS, max_length=77)
    numbers = tokenizer(text).input_ids
    assert max(numbers[1:-1]) < len(tokenizer) - 2  # nothing inside is unknown or a mark
    assert numbers[1:-1] != tokenizer("dog").input_ids[1:-1]
    again = str(tokenizer.decode(numbers, skip_special_tokens=True))
    assert again.replace(" ", "") == text.replace(" ", "")


def test_sentences_are_marked_padded_and_cut() -> None:
    tokenizer = word_tokenizer(("dog",), max_length=6)
    start, end = len(tokenizer) - 2, len(tokenizer) - 1
    dog = tokenizer.convert_tokens_to_ids("dog</w>")
    settings = {"padding": "max_length", "truncation": True}
    assert tokenizer("dog", **settings).input_ids == [start, dog, end, end, end, end]
    assert tokenizer("dog " * 9, **settings).input_ids == [start, dog, dog, dog, dog, end]


def test_numbers_do_not_depend_on_the_order_of_the_words() -> None:
    assert word_tokenizer(WORDS, 20).get_vocab() == word_tokenizer([*reversed(WORDS), "dog"], 20).get_vocab()


def test_plain_transformers_reads_it_back(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(TRICKY, max_length=20)
    tokenizer.save_pretrained(tmp_path)
    again = CLIPTokenizer.from_pretrained(tmp_path)
    text = "a portrait of sks cat at the person's hat"
    assert again(text).input_ids == tokenizer(text).input_ids
    assert again.model_max_length == 20
    assert len(again) == len(tokenizer)
