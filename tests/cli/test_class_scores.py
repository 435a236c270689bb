"""`apdm evaluate` with CLIP and Inception: what is measured with which pictures, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from apdm.benchmark.record import Figure
from apdm.cli import class_scores, evaluate
from apdm.cli.class_scores import check_judges, check_numbers, drawn, kid_before_and_after
from apdm.cli.main import main
from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics import clip
from apdm.metrics.cmmd import cmmd
from apdm.metrics.fid import fid
from apdm.metrics.kid import kid
from apdm.pixels import load, save_png
from apdm.seeding import generator


def colours(pixels: Tensor) -> Tensor:
    """Mean and deviation of each channel."""
    return torch.cat([pixels.mean((2, 3)), pixels.std((2, 3))], dim=1)


class MadeUp:
    """Looks at colours, reads no prompt but "red", and remembers how many pictures it saw at a time."""

    dim, fingerprint = 6, "ab" * 32

    def __init__(self, source: str) -> None:
        self.name = Path(source).name
        self.seen: list[int] = []
        self.made.append(self)

    made: list[MadeUp]

    def __call__(self, pixels: Tensor) -> Tensor:
        self.seen.append(len(pixels))
        return torch.nn.functional.normalize(colours(pixels), dim=1)

    def text(self, prompts: Sequence[str]) -> Tensor:
        red = torch.tensor([1.0, 0, 0, 0, 0, 0])
        return torch.stack([red if "red" in prompt else -red for prompt in prompts])


@pytest.fixture
def judges(monkeypatch: pytest.MonkeyPatch) -> list[MadeUp]:
    """Those that were made, in place of the judge, CLIP and Inception."""
    MadeUp.made = []
    monkeypatch.setattr(evaluate, "judge", MadeUp)
    monkeypatch.setattr(clip, "ClipExtractor", MadeUp)
    monkeypatch.setattr(evaluate, "InceptionExtractor", MadeUp)
    monkeypatch.setattr(class_scores, "weights_file", Path)
    monkeypatch.setattr(class_scores, "KID", "KID over inception.pth")
    monkeypatch.setattr(evaluate, "KID", "KID over inception.pth")
    return MadeUp.made


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes noisy pictures of 64 pixels under a name."""

    def make(name: str, count: int = 6, level: float = 0.0) -> Path:
        noise = torch.rand(count, 3, 64, 64, generator=generator(0, name)) - 0.5
        save_png(noise + level, tmp_path / name, "picture")
        return tmp_path / name

    return make


def run(*arguments: str | Path) -> None:
    main(["evaluate", "--class_noun", "dog", *map(str, arguments)])


def test_each_score_is_of_the_pictures_that_it_is_named_after(
    folder: Callable[..., Path], judges: list[MadeUp], tmp_path: Path
) -> None:
    names = {"subject": 7, "generated": 6, "control": 6, "class_images": 6, "class_images_protected": 6}
    flags: list[str | Path] = []
    for name, count in names.items():
        flags += [f"--{name}", folder(name, count)]
    told = {"prompt": ["a red dog", "a dog"], "num_images": 3}
    (tmp_path / "class_images" / "apdm.json").write_text(json.dumps(told))
    eye = tmp_path / "tiny-clip"
    eye.mkdir()
    (eye / "config.json").write_text("{}")
    flags += ["--clip", eye, "--inception", "inception.pth", "--references", folder("references", 8)]
    run(*flags, "--output_file", tmp_path / "figures.json", "--output_dir", tmp_path / "report")

    figures = json.loads((tmp_path / "figures.json").read_text())
    seen = {
        name: torch.nn.functional.normalize(colours(load(sorted((tmp_path / name).glob("*.png")), 64)), dim=1)
        for name in (*names, "references")
    }
    known = seen["references"]
    for flag in ("class_images", "class_images_protected"):
        for title, distance in (("FID", fid), ("KID", kid)):
            found = figures[f"{title} over inception.pth of {flag}"]
            assert found["value"] == pytest.approx(distance(seen[flag], known, seed=0).value, abs=1e-6)
            assert (found["n"], found["direction"]) == (names[flag], "lower preserves")
            assert found["fingerprint"] == "ab" * 32
        found = figures[f"CMMD over tiny-clip of {flag}"]
        assert found["value"] == pytest.approx(cmmd(seen[flag], known, seed=0).value, abs=1e-5)
    cosines = seen["class_images"][:, 0] * torch.tensor([1.0, 1, 1, -1, -1, -1])
    assert figures["CLIP score of class_images"]["value"] == pytest.approx(cosines.mean().item(), abs=1e-5)
    assert figures["CLIP score of class_images"]["direction"] == "higher preserves"
    assert "CLIP score of class_images_protected" not in figures  # nobody knows what they were drawn from
    assert figures["CLIP-I of generated"]["extractor"] == "tiny-clip"
    assert figures["CLIP-I of generated"]["direction"] == "lower protects"
    assert [judge.seen for judge in judges if judge.name == "inception.pth"] == [[8, 6, 6]]
    record = json.loads((tmp_path / "report" / "result.json").read_text())
    kids = record["subjects"][0]["kid"]
    assert kids["protected"] == figures["KID over inception.pth of class_images_protected"]
    further = record["subjects"][0]["further"]
    assert further.keys() == {"CLIP-I", "CLIP score", "CMMD over tiny-clip", "FID over inception.pth"}
    assert further["CLIP-I"].keys() == {
        "photos",
        "attacked_protected",
        "attacked_unprotected",
        "class_unprotected",
    }
    assert further["CLIP score"] == {"class_unprotected": figures["CLIP score of class_images"]}
    assert str(tmp_path) not in json.dumps(record["settings"])


def test_prompts_of_another_number_of_pictures_are_not_used(
    folder: Callable[..., Path], judges: list[MadeUp], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = folder("class_images_protected", 5)
    (place / "apdm.json").write_text(json.dumps({"prompt": ["a dog"], "num_images": 6}))
    eye = tmp_path / "tiny-clip"
    eye.mkdir()
    (eye / "config.json").write_text("{}")
    rest = ("--generated", folder("generated"), "--class_images_protected", place, "--clip", eye)
    run("--subject", folder("subject"), *rest)
    said = capsys.readouterr().out
    assert "5 pictures, but 6 were drawn; no CLIP score" in " ".join(said.split())
    assert "CLIP-I" in said


@pytest.mark.parametrize("change", [{"seed": 1}, {"prompt": ["a cat"]}, {"sampling": {"steps": 9}}])
@pytest.mark.parametrize("pair", [("generated", "control"), ("class_images_protected", "class_images")])
def test_a_report_lays_nothing_side_by_side_that_was_drawn_otherwise(
    change: dict[str, object],
    pair: tuple[str, str],
    folder: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ("generated", "control", "class_images", "class_images_protected")
    places = {name: folder(name, 2) for name in names}
    alike = {"prompt": ["a dog"], "num_images": 2, "seed": 0, "sampling": {"steps": 8}}
    for name, place in places.items():
        told = alike | {"model": name} | (change if name == pair[1] else {})
        (place / "apdm.json").write_text(json.dumps(told))
    flags = [part for name, place in places.items() for part in (f"--{name}", place)]
    with pytest.raises(SystemExit):
        run("--subject", folder("subject"), *flags, "--output_dir", tmp_path / "report")
    said = capsys.readouterr().err
    assert f"--{pair[0]} and --{pair[1]} were drawn from other prompts, seeds or settings" in said
    assert not (tmp_path / "report").exists()


def test_settings_that_cannot_be_read_say_nothing(tmp_path: Path) -> None:
    one = {"prompt": ["a dog"], "num_images": 1, "seed": 0}
    (tmp_path / "apdm.json").write_text(json.dumps(one))
    assert drawn(tmp_path) == one
    wrong = (
        {"prompt": None},
        {"prompt": "a dog"},
        {"prompt": [1]},
        {"num_images": "1"},
        {"num_images": None},
    )
    for text in ("{", "[]", *(json.dumps(one | change) for change in wrong)):
        (tmp_path / "apdm.json").write_text(text)
        assert drawn(tmp_path) == {}


REAL = Path("real")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ((None, "w.pth", None, True), "--inception measures a distance to --references"),
        ((None, None, REAL, True), "nothing looks at --references"),
        (("a/b", None, REAL, False), "--references are for class images"),
        (("nobody", None, None, False), "--clip 'nobody' does not exist"),
        ((None, "none.pth", REAL, True), "there is no file 'none.pth'"),
    ],
)
def test_judges_that_cannot_be_are_refused_before_anything_is_read(
    wanted: tuple[Any, Any, Any, bool], said: str
) -> None:
    check_judges(None, None, None, class_images=False)
    check_judges("openai/clip-vit-large-patch14", "https://example.org/w.pth", REAL, class_images=True)
    with pytest.raises(InputError, match=said):
        check_judges(*wanted[:3], class_images=wanted[3])


def test_bad_judges_are_said_before_the_photos_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("--subject", "nowhere", "--generated", "nowhere", "--inception", "w.pth")
    assert "--inception measures a distance" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["references", "class_unprotected", "class_protected"])
def test_sets_too_small_for_a_distance_are_refused(name: str) -> None:
    check_numbers({name: 4, "attacked_protected": 1})
    with pytest.raises(InputError, match="holds 3 pictures: give 4 or more"):
        check_numbers({name: 3, "attacked_protected": 1})


def test_kid_before_and_after_needs_both() -> None:
    one, other = (Figure(v, 0.0, 0.3, 8, "inception", Direction.LOWER_PRESERVES) for v in (0.1, 0.2))
    assert kid_before_and_after({class_scores.KID: {"class_unprotected": one}}) is None
    both = kid_before_and_after({class_scores.KID: {"class_protected": other, "class_unprotected": one}})
    assert both is not None
    assert (both.unprotected, both.protected) == (one, other)


def test_one_model_alone_has_an_attack_strength(
    folder: Callable[..., Path], judges: list[MadeUp], tmp_path: Path
) -> None:
    pictures = ("--generated", folder("generated", level=0.4), "--class_images", folder("class_images"))
    run("--subject", folder("photos", level=0.5), *pictures, "--output_file", tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())
    drawn, class_, photos = (
        figures[f"similarity of {name}"]["value"] for name in ("generated", "class_images", "own photos")
    )
    strength = figures["attack strength"]
    assert strength["value"] == pytest.approx((drawn - class_) / (photos - class_), abs=1e-4)
    assert strength["low"] < strength["value"] < strength["high"]
    assert strength["n"] == 6
    assert "protection rate" not in figures
