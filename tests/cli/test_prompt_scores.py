"""`apdm evaluate tifa|geneval`: which pictures belong to which prompt, who is asked, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from apdm.cli import prompt_scores
from apdm.cli.main import main
from apdm.cli.prompt_scores import pictures_by_name, pixels_of
from apdm.errors import InputError
from apdm.metrics.geneval import Detection
from apdm.pixels import save_png

RED, BLUE = (0.8, -0.8, -0.8), (-0.8, -0.8, 0.8)
TYPES = {"object": "is there a dog?", "color": "is it red?"}
QUESTIONS = [
    {
        "id": id,
        "caption": caption,
        "question": asked,
        "choices": ["yes", "no"],
        "answer": "yes",
        "element_type": of,
    }
    for id, caption in (("coco_7", "a red dog"), ("draw-2", "a dog"))
    for of, asked in TYPES.items()
]
METADATA = [
    {"tag": "single_object", "prompt": "a photo of a dog", "include": [{"class": "dog", "count": 1}]},
    {
        "tag": "colors",
        "prompt": "a photo of a red dog",
        "include": [{"class": "dog", "count": 1, "color": "red"}],
    },
]


class Made:
    """A network by its source; `asked` is all that any was asked."""

    fingerprint = "ab" * 32
    asked: list[Any]
    made: list[Made]

    def __init__(self, source: str = "", *_: object) -> None:
        self.name, self.network = Path(source).name, nn.Linear(1, 1)
        self.made.append(self)


class Reader(Made):
    """Says "yes" of a red picture, else a word whose meaning the encoder has to find."""

    def __call__(self, pixels: Tensor, questions: Sequence[str]) -> list[str]:
        self.asked += questions
        return ["yes" if picture[0].mean() > 0 else "nope" for picture in pixels]


class Encoder(Made):
    def __call__(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([[1.0, 0.0] if text == "yes" else [0.0, 1.0] for text in texts])


class Finder(Made):
    """A dog in every picture that is not black."""

    labels = ("dog",)

    def __call__(self, pixels: Tensor) -> list[list[Detection]]:
        return [[Detection("dog", 0.8, (0, 0, 4, 4))] if p.max() > -1 else [] for p in pixels]


class Painter(Made):
    colours = ("red", "blue")

    def __call__(self, pixels: Tensor, found: Sequence[Detection]) -> list[str]:
        return ["red" if pixels[0, 0].mean() > 0 else "blue" for _ in found]


@pytest.fixture
def judges(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """All that the made-up networks were told or asked."""
    Made.asked, Made.made = [], []

    def detector(source: str, prompts: Sequence[Any], names: Any) -> Finder:
        Made.asked.append(names)
        return Finder(source)

    monkeypatch.setattr(prompt_scores, "QuestionAnswerer", Reader)
    monkeypatch.setattr(prompt_scores, "MeanPooledEncoder", Encoder)
    monkeypatch.setattr(prompt_scores, "detector", detector)
    monkeypatch.setattr(prompt_scores, "ClipExtractor", Made)
    monkeypatch.setattr(prompt_scores, "ClipColours", lambda clip: Painter(clip.name))
    return Made.asked


def draw(place: Path, *colours: tuple[float, float, float], side: int = 64) -> None:
    pixels = torch.tensor(colours)[:, :, None, None].expand(-1, -1, side, side)
    save_png(pixels, place, "picture")


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.json"
    path.write_text(json.dumps(QUESTIONS))
    return path


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    path = tmp_path / "metadata.jsonl"
    path.write_text("\n".join(map(json.dumps, METADATA)))
    return path


@pytest.fixture
def network(tmp_path: Path) -> Callable[[str], str]:
    """A folder that looks like a network's."""

    def make(name: str) -> str:
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        return str(tmp_path / name)

    return make


def run(*arguments: str | Path) -> None:
    main(["evaluate", *map(str, arguments)])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    return said


def test_tifa_asks_of_each_picture_the_questions_of_its_id(
    questions: Path, network: Callable[[str], str], judges: list[Any], tmp_path: Path
) -> None:
    """Before: 2 of 2 pictures of the one caption and half of the other's are red; after: none is."""
    before, after = tmp_path / "before", tmp_path / "after"
    draw(before / "coco_7", RED)
    draw(before / "draw-2", RED, BLUE)
    for name in ("coco_7", "draw-2"):
        draw(after / name, BLUE)
    made = ("--vqa", network("tiny-vqa"), "--sentence_encoder", network("tiny-encoder"), "--device", "meta")
    run("tifa", before, after, "--questions", questions, *made, "--output_file", tmp_path / "tifa.json")
    figures = json.loads((tmp_path / "tifa.json").read_text())
    assert figures[f"TIFA of {before}"]["value"] == (1 + 0.5) / 2
    assert figures[f"TIFA of {before}"]["n"] == 2
    assert figures[f"TIFA of {before}"]["extractor"] == figures["judges"] == "tiny-vqa, tiny-encoder"
    assert len(figures[f"TIFA of {before}"]["fingerprint"]) == 64
    assert figures[f"TIFA, color of {before}"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    assert figures[f"TIFA of {after}"]["value"] == 0
    assert judges[:2] == [*TYPES.values()]
    assert {it.network.weight.device.type for it in Made.made} == {"meta"}


def test_geneval_looks_at_the_pictures_of_a_lines_number(
    metadata: Path, network: Callable[[str], str], judges: list[Any], tmp_path: Path
) -> None:
    """The first prompt's two pictures show a dog, of the second's two, laid as GenEval does, one a red."""
    folder, names = tmp_path / "drawn", tmp_path / "names.txt"
    draw(folder / "00000", RED, BLUE)
    draw(folder / "00001" / "samples", RED, BLUE)
    draw(folder / "00001", (0, 0, 0))  # what GenEval's script calls grid.png
    names.write_text("dog\n\n cat\n")
    made = ("--detector", network("tiny-detector"), "--clip", network("tiny-clip"), "--object_names", names)
    rest = ("--metadata", metadata, *made, "--output_file", tmp_path / "geneval.json")
    run("geneval", folder, *rest, "--device", "meta")
    assert {it.network.weight.device.type for it in Made.made[:2]} == {"meta"}
    figures = json.loads((tmp_path / "geneval.json").read_text())
    assert figures[f"GenEval of {folder}"]["value"] == (1 + 0.5) / 2
    assert figures[f"GenEval, single_object of {folder}"]["n"] == 2
    assert figures[f"GenEval, colors of {folder}"]["value"] == 0.5
    assert figures[f"GenEval, prompts of {folder}"]["value"] == 1
    assert figures["judges"] == "tiny-detector, tiny-clip"
    assert judges == [("dog", "cat")]
    run("geneval", folder, *rest, "--threshold", "0.8")  # not above it
    assert json.loads((tmp_path / "geneval.json").read_text())[f"GenEval of {folder}"]["value"] == 0


def test_geneval_refuses_pictures_of_other_prompts(
    metadata: Path, judges: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their numbers alone do not tell a shuffled file, or one of which the beginning is cut."""
    folder = tmp_path / "drawn"
    for number in range(3):
        draw(folder / f"{number:05d}", RED)
    made = ("geneval", folder, "--metadata", metadata, "--detector", "some/one", "--clip", "some/one")
    dog, red = (line["prompt"] for line in METADATA)
    (folder / "apdm.json").write_text(json.dumps({"prompt": [dog, red, "more"], "num_images": 1}))
    run(*made)
    capsys.readouterr()
    Made.made.clear()
    for prompts in ([red, dog], [red], ["a cat", red]):
        (folder / "apdm.json").write_text(json.dumps({"prompt": prompts, "num_images": 1}))
        said = refused(capsys, *made)
        assert (
            f"picture 00000 in {folder} was drawn from '{prompts[0]}', and the metadata has '{dog}'" in said
        )
    assert not Made.made


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tifa",), "--questions"),
        (("tifa", "--questions", "FILE"), "no pictures are given"),
        (("tifa", "DRAWN", "--questions", "nowhere.json"), "nowhere.json cannot be read"),
        (("tifa", "DRAWN", "--questions", "FILE", "--vqa", "nobody"), "--vqa 'nobody' does not exist"),
        (("tifa", "DRAWN", "--questions", "FILE", "--vqa", "."), "--vqa '.' has no config.json"),
        (("tifa", "DRAWN", "--questions", "FILE", "--sentence_encoder", "x"), "--sentence_encoder 'x' does"),
        (("tifa", "nowhere", "--questions", "FILE"), "nowhere is not a folder: draw them with"),
        (("tifa", "DRAWN", "--questions", "FILE"), "has no picture of 1 of 2 captions, 'draw-2' first"),
        (("tifa", "DRAWN", "--questions", "FILE", "--device", "x"), "device 'x' cannot be used here"),
        (("tifa", "DRAWN", "--questions", "FILE", "--output_file", "."), "--output_file '.' is a folder"),
        (("tifa", "DRAWN", "--questions", "FILE", "--output_file", "BELOW"), "json, which is a file: name"),
        (("geneval", "DRAWN", "--metadata", "nowhere.jsonl"), "nowhere.jsonl cannot be read"),
        (("geneval", "DRAWN", "--metadata", "LINES", "--object_names", "x.txt"), "x.txt cannot be read"),
        (("geneval", "DRAWN", "--metadata", "LINES", "--detector", "x"), "--detector 'x' does not exist"),
        (("geneval", "DRAWN", "--metadata", "LINES", "--clip", "x"), "--clip 'x' does not exist"),
        (("geneval", "DRAWN", "--metadata", "LINES"), "no picture of 2 of 2 captions, '00000' first"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_a_network_is_loaded(
    arguments: tuple[str, ...],
    said: str,
    questions: Path,
    metadata: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for loader in ("QuestionAnswerer", "MeanPooledEncoder", "detector", "ClipExtractor"):
        monkeypatch.setattr(prompt_scores, loader, lambda *_: pytest.fail("a network was loaded"))
    draw(tmp_path / "drawn" / "coco_7", RED)
    words: dict[str, Path] = {
        "BELOW": questions / "new" / "x.json",
        "FILE": questions,
        "LINES": metadata,
        "DRAWN": tmp_path / "drawn",
    }
    assert said in refused(capsys, *(words.get(word, word) for word in arguments))


def test_pictures_are_files_or_folders_of_that_name(tmp_path: Path) -> None:
    draw(tmp_path / "b", RED, BLUE)
    draw(tmp_path / "made", BLUE)
    (tmp_path / "made" / "picture_00000.png").rename(tmp_path / "a.png")
    (tmp_path / "b" / "picture_00000.txt").write_text("a caption beside it")
    found = pictures_by_name(tmp_path, ["a", "b"])
    b = tmp_path / "b"
    assert found == {"a": [tmp_path / "a.png"], "b": [b / "picture_00000.png", b / "picture_00001.png"]}
    assert pixels_of(found["b"]).shape == (2, 3, 64, 64)
    assert pixels_of(found["b"])[1, :, 0, 0].tolist() == pytest.approx(BLUE, abs=0.01)


def one(place: Path) -> None:
    """A picture as this file."""
    save_png(torch.zeros(1, 3, 64, 64), place.parent / "made", "picture")
    (place.parent / "made" / "picture_00000.png").rename(place)
    (place.parent / "made").rmdir()


def test_what_is_no_picture_claims_no_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one(tmp_path / "a.png")
    draw(tmp_path / "b", RED)
    for name in ("a.txt", "a.xml", "b.json"):
        (tmp_path / name).write_text("{}")
    found = pictures_by_name(tmp_path, ["a", "b"])
    assert found == {"a": [tmp_path / "a.png"], "b": [tmp_path / "b" / "picture_00000.png"]}
    (said,) = capsys.readouterr().out.splitlines()
    assert said.startswith(f"{tmp_path / 'a.xml'}: set aside, ")


def test_two_claims_on_one_name_are_refused(tmp_path: Path) -> None:
    one(tmp_path / "a.png")
    draw(tmp_path / "a", RED)
    with pytest.raises(InputError, match=r"pictures of 'a' as a\.png and as a: keep one of them"):
        pictures_by_name(tmp_path, ["a"])
    one(tmp_path / "b.png")
    one(tmp_path / "b.jpg")
    with pytest.raises(InputError, match=r"pictures of 'b' as b\.jpg and as b\.png: keep one of them"):
        pictures_by_name(tmp_path, ["b"])


def test_pictures_of_two_sizes_and_files_that_are_none_are_refused(tmp_path: Path) -> None:
    draw(tmp_path / "a", RED)
    draw(tmp_path / "a" / "samples", RED, BLUE)
    draw(tmp_path / "one", RED, side=65)
    (tmp_path / "one" / "picture_00000.png").rename(tmp_path / "a" / "samples" / "x.png")
    with pytest.raises(InputError, match=r"pictures of 'a' .* differ in size"):
        pictures_by_name(tmp_path, ["a"])
    (tmp_path / "b.png").write_text("no picture")
    with pytest.raises(InputError, match="no picture of 1 of 1 captions, 'b' first"):
        pictures_by_name(tmp_path, ["b"])


@pytest.mark.parametrize("verb", ["tifa", "geneval"])
def test_help_ends_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(verb, "--help")
    assert stop.value.code == 0
    assert f"Example: apdm evaluate {verb} " in capsys.readouterr().out.strip().splitlines()[-1]
