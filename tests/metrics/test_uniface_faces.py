"""uniface by a package made up here: with what it is asked, and what is said where it is not there."""

from __future__ import annotations

import hashlib
import sys
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from apdm.errors import InputError
from apdm.metrics.base import joint_fingerprint
from apdm.metrics.uniface_faces import UnifaceFaces
from apdm.pixels import to_uint8

DETECTOR, EMBEDDER = b"retinaface", b"arcface"
HASHES = [hashlib.sha256(it).hexdigest() for it in (DETECTOR, EMBEDDER)]


class RetinaFaceWeights(Enum):
    RESNET50 = "retinaface_r50"


class ArcFaceWeights(Enum):
    RESNET = "arcface_resnet"


class RetinaFace:
    """A face in each picture with some blue, which BGR has first."""

    def __init__(self, **settings: Any) -> None:
        assert settings == {"model_name": RetinaFaceWeights.RESNET50, "providers": ["CPUExecutionProvider"]}

    def detect(self, picture: np.ndarray) -> list[Any]:
        assert picture.dtype == np.uint8
        assert picture.flags.c_contiguous
        found = SimpleNamespace(bbox=np.array([1, 2, 4, 8], np.float32), landmarks=np.full((5, 2), 3.0))
        return [found] if picture[0, 0, 0] > 0 else []


class ArcFace:
    def __init__(self, **settings: Any) -> None:
        assert settings == {"model_name": ArcFaceWeights.RESNET, "providers": ["CPUExecutionProvider"]}

    def get_embedding(self, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """The first pixel, as it is: a row of one, as the network gives it."""
        assert (landmarks == 3).all()
        return picture[:1, 0].astype(np.float32)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the made-up package keeps its two files."""
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "retinaface_r50.onnx").write_bytes(DETECTOR)
    (folder / "arcface_resnet.onnx").write_bytes(EMBEDDER)
    uniface, constants = ModuleType("uniface"), ModuleType("uniface.constants")
    constants.__dict__.update(
        RetinaFaceWeights=RetinaFaceWeights,
        ArcFaceWeights=ArcFaceWeights,
        MODEL_REGISTRY={
            RetinaFaceWeights.RESNET50: SimpleNamespace(sha256=HASHES[0]),
            ArcFaceWeights.RESNET: SimpleNamespace(sha256=HASHES[1]),
        },
    )
    asked = uniface.__dict__["asked"] = []
    uniface.__dict__.update(
        constants=constants,
        RetinaFace=RetinaFace,
        ArcFace=ArcFace,
        get_cache_dir=lambda: str(folder),
        set_cache_dir=asked.append,
    )
    monkeypatch.setitem(sys.modules, "uniface", uniface)
    monkeypatch.setitem(sys.modules, "uniface.constants", constants)
    return folder


def test_faces_are_found_and_embedded(cache: Path) -> None:
    pixels = torch.full((2, 3, 8, 8), -1.0)
    pixels[0, 2] = 0.5
    before = pixels.clone()
    backend = UnifaceFaces()
    one, nothing = backend(pixels)
    assert torch.equal(pixels, before)
    assert nothing == []
    blue = float(to_uint8(pixels)[0, 0, 0, 2])
    assert [(it.box, it.embedding.tolist()) for it in one] == [((1.0, 2.0, 4.0, 8.0), [blue, 0.0, 0.0])]
    assert backend.name == "uniface-retinaface_r50-arcface_resnet"
    assert backend.fingerprint == joint_fingerprint(*HASHES)


def test_weights_come_from_the_folder_that_is_given(cache: Path, tmp_path: Path) -> None:
    given = cache.rename(tmp_path / "given")
    UnifaceFaces(given)
    assert sys.modules["uniface"].asked == [str(given)]


def test_what_uniface_would_fetch_is_refused(cache: Path) -> None:
    (cache / "arcface_resnet.onnx").write_bytes(b"another")
    with pytest.raises(InputError, match=r"arcface_resnet\.onnx is not the file that uniface knows"):
        UnifaceFaces()
    (cache / "retinaface_r50.onnx").unlink()
    with pytest.raises(InputError, match=r"retinaface_r50\.onnx is missing"):
        UnifaceFaces()
    assert sys.modules["uniface"].asked == []


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uniface", None)
    with pytest.raises(InputError, match=r"pip install 'apdm\[uniface\]'"):
        UnifaceFaces()
