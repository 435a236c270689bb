"""Exams read whole before anything is loaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apdm.benchmark.frozen.workshop import held_out_captions
from apdm.benchmark.tables.exam import Exam, Paper, paper
from apdm.errors import InputError

TOYS = Exam(6, 5, 6, 2, "efficientnet-lite0", "somebody/clip", "somebody/answers", "somebody/detector")
FILES = replace(
    TOYS,
    captions="captions.json",
    references="photos",
    questions="questions.json",
    objects="prompts.jsonl",
    class_names="names.txt",
    first=4,
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Files of the published layouts, five photos' captions, two of the first."""
    captions = [(9, "a bus"), (3, " two\ndogs "), (3, "dogs"), (4, "a cat"), (12, "a sink"), (5, "a man")]
    annotations = [{"image_id": number, "id": 0, "caption": said} for number, said in captions]
    (tmp_path / "captions.json").write_text(json.dumps({"annotations": annotations}))
    question = {"id": "x", "caption": "a red bus", "question": "is it red?", "element_type": "color"}
    asked = [question | {"choices": ["yes", "no"], "answer": "yes"}]
    (tmp_path / "questions.json").write_text(json.dumps(asked))
    prompt = {
        "tag": "single_object",
        "prompt": "a photo of a bench",
        "include": [{"class": "bench", "count": 1}],
    }
    (tmp_path / "prompts.jsonl").write_text(json.dumps(prompt))
    (tmp_path / "names.txt").write_text("person\ncomputer mouse\nhot_dog_bun\n")
    (tmp_path / "photos").mkdir()
    for number in range(5):
        (tmp_path / "photos" / f"{number}.JPG").write_bytes(b"x" * number)
    return tmp_path


def test_numbers_ask_for_toys() -> None:
    found = paper(TOYS, None, {})
    assert list(found.captions) == held_out_captions(6) == list(found.asked.values())
    assert {it.id for it in found.questions} == set(map(str, range(6)))
    assert len(found.objects) == 12
    assert found.prompts("objects") == tuple(it.text for it in found.objects for _ in range(4))
    assert found.references == 5


def test_files_are_read_below_data(data: Path) -> None:
    found = paper(FILES, data, {})
    assert found.captions == (
        "two dogs",
        "a cat",
        "a man",
        "a bus",
    )  # by photo; of each its first; the first four
    assert found.prompts("asked") == ("a red bus",)
    assert found.objects[0].include[0].label == "bench"
    assert isinstance(found.references, tuple)
    assert [it.name for it in found.references] == ["0.JPG", "1.JPG", "2.JPG", "3.JPG", "4.JPG"]
    few = paper(replace(FILES, first_references=4), data, {})
    assert few.references == found.references[:4]
    assert few.about["references"] != found.about["references"]
    assert found.class_names == ("person", "computer mouse", "hot_dog_bun")  # as a network may have it
    (data / "captions.json").unlink()
    (data / "lines.txt").write_text("one\ntwo\n\nthree\nfour\n")
    assert paper(replace(FILES, captions="lines.txt"), data, {}).captions == ("one", "two", "three", "four")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"captions": "nothing.json"}, "nothing.json has no captions"),
        ({"captions": "questions.json"}, "questions.json has no captions"),
        ({"first": 9}, "'captions.json' has 5 captions"),
        ({"references": "nowhere"}, "holds 0 pictures"),
        ({"first_references": 9}, "holds 5 pictures"),
        ({"questions": "prompts.txt"}, "prompts.txt cannot be read"),
        ({"objects": "none.jsonl"}, "none.jsonl cannot be read"),
        ({"class_names": "none.txt"}, "none.txt cannot be read"),
    ],
)
def test_a_wrong_path_is_one_clear_line(data: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        paper(replace(FILES, **changes), data, {})
    assert "\n" not in str(error.value)


def test_a_path_needs_data() -> None:
    with pytest.raises(InputError, match=r"'captions.json' is a path: say below what it lies: --data DIR"):
        paper(FILES, None, {})


@pytest.mark.parametrize("changes", [{"captions": 3}, {"references": 3}, {"objects": 0}, {"timed": 0}])
def test_too_few_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(changes))} is"):
        replace(TOYS, **changes)  # type: ignore[arg-type]


def test_marks_depend_on_all_that_is_asked(data: Path) -> None:
    def about(found: Paper) -> str:
        return json.dumps(found.about, sort_keys=True)

    first = about(paper(FILES, data, {"clip": "a"}))
    assert about(paper(FILES, data, {"clip": "a"})) == first
    assert about(paper(FILES, data, {"clip": "b"})) != first
    changes: list[tuple[str, str | bytes]] = [
        ("photos/4.JPG", b"more of it"),
        ("names.txt", "person\nmouse\nhot_dog_bun\n"),
        ("questions.json", (data / "questions.json").read_text().replace('"yes"}', '"no"}')),
        ("prompts.jsonl", (data / "prompts.jsonl").read_text().replace('"count": 1', '"count": 2')),
    ]
    for name, text in changes:
        (data / name).write_bytes(text.encode() if isinstance(text, str) else text)
        before, first = first, about(paper(FILES, data, {"clip": "a"}))
        assert first != before, name
