"""insightface by a package made up here: with what it is asked, and what is said where it is not there."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from apdm.errors import InputError
from apdm.metrics import insightface_faces
from apdm.metrics.base import joint_fingerprint
from apdm.metrics.insightface_faces import InsightFaces
from apdm.pixels import to_uint8


class FaceAnalysis:
    """A face in each picture with some blue, which BGR has first. The pack's files say its tasks."""

    def __init__(self, name: str, **settings: Any) -> None:
        assert settings == {
            "allowed_modules": ["detection", "recognition"],
            "providers": ["CPUExecutionProvider"],
        }
        assert Path(name).is_absolute()
        if not all(file.read_text() for file in Path(name).glob("*.onnx")):
            raise RuntimeError("[ONNXRuntimeError] : 7 : INVALID_PROTOBUF\nProtobuf parsing failed.")
        self.models = {file.stem: None for file in Path(name).glob("*.onnx")}
        self.ready = False
        assert "detection" in self.models

    def prepare(self, ctx_id: int) -> None:
        self.ready = ctx_id == -1

    def get(self, picture: np.ndarray) -> list[Any]:
        assert self.ready
        assert picture.dtype == np.uint8
        assert picture.flags.c_contiguous
        box = np.array([1, 2, 4, 8], np.float32)
        found = SimpleNamespace(bbox=box, embedding=picture[0, 0].astype(np.float32))
        return [found] if picture[0, 0, 0] > 0 else []


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    app = ModuleType("insightface.app")
    app.__dict__["FaceAnalysis"] = FaceAnalysis
    monkeypatch.setitem(sys.modules, "insightface", ModuleType("insightface"))
    monkeypatch.setitem(sys.modules, "insightface.app", app)
    folder = tmp_path / "some_pack"
    folder.mkdir()
    for task in ("detection", "recognition"):
        (folder / f"{task}.onnx").write_text(task)
    return folder


def test_faces_are_found_and_embedded(pack: Path) -> None:
    pixels = torch.full((2, 3, 8, 8), -1.0)
    pixels[0, 2] = 0.5
    before = pixels.clone()
    backend = InsightFaces(pack)
    one, nothing = backend(pixels)
    assert torch.equal(pixels, before)
    assert nothing == []
    blue = float(to_uint8(pixels)[0, 0, 0, 2])
    assert [(it.box, it.embedding.tolist()) for it in one] == [((1.0, 2.0, 4.0, 8.0), [blue, 0.0, 0.0])]
    assert backend.name == "insightface-some_pack"
    hashes = [hashlib.sha256(task.encode()).hexdigest() for task in ("detection", "recognition")]
    assert backend.fingerprint == joint_fingerprint(*hashes)


def test_a_pack_that_lacks_a_network_is_refused(pack: Path) -> None:
    (pack / "recognition.onnx").unlink()
    with pytest.raises(InputError, match="does not hold a detector and ArcFace"):
        InsightFaces(pack)
    (pack / "detection.onnx").rename(pack / "recognition.onnx")
    with pytest.raises(InputError, match="does not hold a detector and ArcFace"):
        InsightFaces(pack)


def test_a_file_that_is_cut_off_is_said_in_one_line(pack: Path) -> None:
    (pack / "detection.onnx").write_text("")
    with pytest.raises(InputError, match=r"could not be loaded \(.*PROTOBUF Protobuf.*: check that"):
        InsightFaces(pack)


def test_a_pack_that_insightface_would_fetch_is_refused(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(pack.parent))
    monkeypatch.setattr(insightface_faces, "PACK", Path("~") / pack.name)
    assert InsightFaces().name == "insightface-some_pack"
    for file in pack.glob("*.onnx"):
        file.unlink()
    with pytest.raises(InputError, match="holds no ONNX file"):
        InsightFaces()


def test_a_relative_folder_is_that_of_here(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """insightface would look for it, and fetch it, beside its own."""
    monkeypatch.chdir(pack.parent)
    assert InsightFaces(Path(pack.name)).name == "insightface-some_pack"


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "insightface", None)
    with pytest.raises(InputError, match=r"pip install 'apdm\[insightface\]'"):
        InsightFaces()
