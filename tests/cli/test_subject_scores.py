"""Faces of each set of pictures, as `apdm evaluate --faces` says them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from apdm.cli import evaluate
from apdm.cli.figures import write
from apdm.cli.main import main
from apdm.cli.subject_scores import check_weights, face_backend, faces, known_faces
from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics.base import NetworkExtractor
from apdm.metrics.face import Face
from apdm.pixels import save_png
from apdm.watch import silent


class Bright:
    """A face in each picture that is not dark; its embedding is the picture's mean colour."""

    name, fingerprint = "bright", "cd" * 32

    def __call__(self, pixels: Tensor) -> list[list[Face]]:
        return [[Face((0, 0, 2, 2), p.mean((1, 2)))] if p.mean() > -0.9 else [] for p in pixels]


def painted(*colours: tuple[float, float, float], side: int = 4) -> Tensor:
    return torch.tensor(colours)[:, :, None, None].expand(-1, -1, side, side)


RED, BLUE, DARK = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (-1.0, -1.0, -1.0)
SETS = {
    "attacked_protected": painted(BLUE, DARK, DARK, DARK),
    "attacked_unprotected": painted(RED, RED),
    "class_protected": painted(BLUE, DARK),
}


def test_each_set_has_both_and_speaks_for_its_own_side() -> None:
    found = faces(SETS, known_faces(Bright(), painted(RED, DARK)), Bright(), 0, silent)
    fdfr, ism = found["FDFR"], found["ISM"]
    assert {name: it.value for name, it in fdfr.items()} == {
        "attacked_protected": 0.75,
        "attacked_unprotected": 0,
        "class_protected": 0.5,
    }
    assert {name: (it.value, it.n, it.excluded) for name, it in ism.items()} == {
        "attacked_protected": (0, 1, 3),
        "attacked_unprotected": (1, 2, 0),
        "class_protected": (0, 1, 1),
    }
    assert [it.direction for it in fdfr.values()] == [
        Direction.HIGHER_PROTECTS,
        Direction.REFERENCE,
        Direction.LOWER_PRESERVES,
    ]
    assert [it.direction for it in ism.values()] == [
        Direction.LOWER_PROTECTS,
        Direction.REFERENCE,
        Direction.REFERENCE,
    ]
    assert {(it.extractor, it.fingerprint) for it in (*fdfr.values(), *ism.values())} == {
        ("bright", "cd" * 32)
    }


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("dlib", "dlib_faces.DlibFaces"),
        ("dlib-hog", "dlib_faces.DlibFaces"),
        ("uniface", "uniface_faces.UnifaceFaces"),
        ("insightface", "insightface_faces.InsightFaces"),
    ],
)
def test_each_backend_has_a_name(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"apdm.metrics.{module}", lambda *given, **kept: (given, kept))
    given = ((), {"cnn": name == "dlib"}) if name.startswith("dlib") else ((Path("there"),), {})
    assert face_backend(name, Path("there")) == given


def test_weights_of_a_backend_without_any_or_of_no_folder_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (None, "dlib"):
        with pytest.raises(InputError, match="are of --faces uniface or insightface"):
            check_weights(name, tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        check_weights("uniface", tmp_path / "nowhere")
    check_weights("uniface", tmp_path)
    check_weights("dlib", None)
    with pytest.raises(SystemExit):
        main(["evaluate", "--subject", "x", "--class_noun", "x", "--generated", "x", "--face_weights", "x"])
    assert "are of --faces uniface or insightface" in capsys.readouterr().err


def test_photos_without_a_face_are_refused() -> None:
    with pytest.raises(InputError, match="no photo to compare with shows a face"):
        known_faces(Bright(), painted(DARK))


def test_the_command_says_them_and_the_report_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Path | None]] = []

    def backend(name: str, weights: Path | None) -> Bright:
        asked.append((name, weights))
        return Bright()

    monkeypatch.setattr(evaluate, "face_backend", backend)
    seen = Seen()
    monkeypatch.setattr(evaluate, "judge", lambda _: seen)

    def last(*given: Any, **about: str) -> None:
        assert Path("report/report.html").exists()  # not lost where the figures' place cannot be written
        write(*given, **about)

    monkeypatch.setattr(evaluate, "write", last)
    shades = [(1.0, 0.0, s / 10) for s in range(6)]
    for name, colours in {"subject": shades, "generated": [RED, DARK], "control": [RED, BLUE]}.items():
        save_png(painted(*colours, side=64), tmp_path / name, "picture")
    flags = ("--subject", "subject", "--generated", "generated", "--control", "control")
    rest = ("--class_images", "control", "--output_dir", "report", "--output_file", "figures.json")
    monkeypatch.chdir(tmp_path)
    by = ("--faces", "uniface", "--face_weights", "subject", "--device", "meta")
    main(["evaluate", "--class_noun", "person", *by, *flags, *rest])
    assert seen.network.weight.device.type == "meta"
    assert asked == [("uniface", Path("subject"))]
    figures = json.loads(Path("figures.json").read_text())
    assert figures["FDFR of generated"]["value"] == 0.5
    assert figures["ISM of control"]["n"] == 2
    record = json.loads(Path("report/result.json").read_text())
    assert record["settings"]["faces"] == "uniface"
    assert record["subjects"][0]["further"]["FDFR"]["attacked_protected"] == figures["FDFR of generated"]
    assert "FDFR" in Path("report/report.html").read_text()


class Seen(NetworkExtractor):
    """Mean colours, of a judge who has a network all the same."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(1, 1), "seen", 3)

    def embed(self, pixels: Tensor) -> Tensor: ...

    def __call__(self, pixels: Tensor) -> Tensor:
        return pixels.mean((2, 3)) + 1e-3


def missing(what: str) -> Callable[..., object]:
    def load(*_: object) -> object:
        raise InputError(f"{what} cannot be loaded", fix="install it")

    return load


@pytest.mark.parametrize(
    ("flag", "loader", "said"),
    [
        (("--faces", "dlib"), ("face_backend", lambda *_: Faceless()), "no photo to compare with"),
        (("--faces", "dlib"), ("face_backend", missing("dlib")), "dlib cannot be loaded"),
        (("--clip", "some/clip"), ("_clip", missing("CLIP")), "CLIP cannot be loaded"),
        ((), ("judge", missing("judge")), "judge cannot be loaded"),
        (
            ("--inception", "https://x/w.pth", "--references", "class"),
            ("InceptionExtractor", missing("weights")),
            "weights cannot be loaded",
        ),
    ],
)
def test_a_judge_that_cannot_look_leaves_no_folder(
    flag: tuple[str, ...],
    loader: tuple[str, Callable[..., object]],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("judge", "_clip"):
        monkeypatch.setattr(evaluate, name, lambda _: Seen())
    monkeypatch.setattr(evaluate, *loader)
    shades = [(1.0, 0.0, s / 10) for s in range(6)]
    for name in ("subject", "generated", "control", "class"):
        save_png(painted(*shades, side=64), tmp_path / name, "picture")
    monkeypatch.chdir(tmp_path)
    flags = ("--subject", "subject", "--generated", "generated", "--control", "control")
    rest = ("--class_images", "class", "--output_dir", "report", *flag)
    with pytest.raises(SystemExit):
        main(["evaluate", "--class_noun", "person", *flags, *rest])
    assert said in capsys.readouterr().err
    assert not Path("report").exists()


def test_an_output_folder_in_use_is_said_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("")
    flags = ("--generated", "nowhere", "--control", "nowhere", "--class_images", "nowhere")
    for place, said in ((tmp_path, "is not empty"), (tmp_path / "mine", "is a file")):
        with pytest.raises(SystemExit):
            main(
                ["evaluate", "--class_noun", "x", "--subject", "nowhere", *flags, "--output_dir", str(place)]
            )
        assert said in capsys.readouterr().err


class Faceless(Bright):
    def __call__(self, pixels: Tensor) -> list[list[Face]]:
        return [[] for _ in pixels]


def test_a_face_backend_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "--faces", "nobody", "--subject", "x", "--class_noun", "x", "--generated", "x"])
    said = capsys.readouterr().err
    assert "nobody" in said
    assert len(said.splitlines()) == 1
