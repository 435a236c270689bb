from __future__ import annotations

import json
from pathlib import Path

import pytest

from apdm import prompts
from apdm.errors import InputError


def test_the_papers_prompts() -> None:
    assert prompts.instance_prompt("sks", "dog") == "a photo of sks dog"
    assert prompts.class_prompt("dog") == "a photo of dog"
    assert prompts.fill(prompts.EVALUATION_TEMPLATES, "sks dog") == (
        "a photo of sks dog",
        "a portrait of sks dog",
    )
    assert prompts.class_prompt("stuffed animal") == "a photo of stuffed animal"


def test_dreambooth_lists_are_the_published_ones(shared_data: Path) -> None:
    published = json.loads((shared_data / "dreambooth" / "prompts.json").read_text())
    for ours, theirs in (
        (prompts.OBJECT_TEMPLATES, published["object_prompts"]),
        (prompts.LIVE_TEMPLATES, published["live_subject_prompts"]),
    ):
        assert list(ours) == [text.replace("{identifier} {class_noun}", "{}") for text in theirs]


def test_dreambooth_lists_have_25_different_prompts_with_one_slot() -> None:
    for templates in (prompts.OBJECT_TEMPLATES, prompts.LIVE_TEMPLATES):
        assert len(set(templates)) == 25
        assert all(template.count("{}") == 1 for template in templates)


def test_fill_leaves_other_braces_alone() -> None:
    assert prompts.fill(["{} and {x}"], "a {}") == ("a {} and {x}",)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('"a photo of sks dog"', "wrapped in quotes"),
        ("'a photo of sks dog'", "wrapped in quotes"),
        ('"a_photo_of_sks_dog"', "wrapped in quotes"),
        ("a_photo_of_sks_dog", "underscores"),
        ("", "empty"),
        (" \n", "empty"),
    ],
)
def test_mangled_prompts_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        prompts.checked(text)


@pytest.mark.parametrize(
    "text",
    ['a sign that says "stop"', '"stop" and "go"', "snake_case", "a photo of my_own_dog", "'", "<new_1>"],
)
def test_honest_prompts_pass(text: str) -> None:
    assert prompts.checked(f" {text}\n") == text


def test_parts_of_a_prompt_are_checked_too() -> None:
    with pytest.raises(InputError, match="identifier is empty"):
        prompts.instance_prompt(" ", "dog")
    with pytest.raises(InputError, match="class noun"):
        prompts.class_prompt('"dog"')
    with pytest.raises(InputError, match="the class noun teddy_bear has underscores"):
        prompts.instance_prompt("sks", "teddy_bear")


def test_captions_have_the_names_of_their_pictures(tmp_path: Path) -> None:
    """TIFA asks several questions about one caption; GenEval's lines are counted, empty ones are not."""
    tifa, geneval = tmp_path / "questions.json", tmp_path / "metadata.jsonl"
    entries = [{"id": "coco_7", "caption": "a dog"}, {"id": 8, "caption": "a cat"}]
    tifa.write_text(json.dumps([entries[0] | {"question": "is it?"}, *entries]))
    geneval.write_text('{"prompt": "a photo of a dog", "tag": "counting"}\n\n{"prompt": "a \'cat\'"}\n')
    assert prompts.read_named_captions(tifa) == {"coco_7": "a dog", "8": "a cat"}
    assert prompts.read_named_captions(geneval) == {"00000": "a photo of a dog", "00001": "a 'cat'"}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "has no captions to be read"),
        ('{"id": "a"}', "has no captions to be read"),
        ('[{"id": "a"}]', "has no captions to be read"),
        ("[]", "holds no caption"),
        ('[{"id": "a", "caption": " "}]', "caption 'a' of .* is no text"),
        ('[{"id": "a", "caption": 7}]', "caption 'a' of .* is no text"),
        ('[{"id": "a", "caption": "x"}, {"id": "a", "caption": "y"}]', "has two captions 'a'"),
        ('[{"id": "../a", "caption": "x"}]', "cannot name a file"),
        ('[{"id": "..", "caption": "x"}]', "cannot name a file"),
        ('[{"id": "", "caption": "x"}]', "cannot name a file"),
    ],
)
def test_what_holds_no_captions_is_refused(content: str, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "captions.json"
    file.write_text(content)
    with pytest.raises(InputError, match=complaint):
        prompts.read_named_captions(file)


def test_captions_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no captions to be read"):
        prompts.read_named_captions(tmp_path / "none.jsonl")


def test_read_prompts(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes("\ufeff# places\na dog in the snow \r\n\r\n  # no\nein Hund im Süden # 2\n".encode())
    assert prompts.read_prompts(file) == ("a dog in the snow", "ein Hund im Süden # 2")


def test_read_prompts_names_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    with pytest.raises(InputError, match=r"prompts\.txt cannot be read"):
        prompts.read_prompts(file)
    file.write_text("# only this\n\n")
    with pytest.raises(InputError, match=r"prompts\.txt holds no prompt"):
        prompts.read_prompts(file)
    file.write_text("# first\na dog\n'a cat'\n")
    with pytest.raises(InputError, match=r"line 3 of .*prompts\.txt"):
        prompts.read_prompts(file)
    file.write_bytes(b"\xff\xfe\x00dog")
    with pytest.raises(InputError, match="not UTF-8"):
        prompts.read_prompts(file)


def test_cocos_captions_are_the_first_of_each_photo(tmp_path: Path) -> None:
    said = [(9, "a bus"), (3, " two\ndogs "), (3, "dogs")]
    annotations = [{"image_id": number, "caption": caption} for number, caption in said]
    (tmp_path / "captions.json").write_text(json.dumps({"annotations": annotations}))
    assert prompts.read_captions(tmp_path / "captions.json") == ("two dogs", "a bus")
    (tmp_path / "captions.txt").write_text("one\ntwo\n")
    assert prompts.read_captions(tmp_path / "captions.txt") == ("one", "two")
    (tmp_path / "captions.json").write_text("[]")
    with pytest.raises(InputError, match=r"captions.json has no captions"):
        prompts.read_captions(tmp_path / "captions.json")
