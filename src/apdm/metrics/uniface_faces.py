"""Faces by uniface: RetinaFace finds them and ArcFace embeds them, as in Anti-DreamBooth (Le et al. 2023).

Its weights are no part of it. They are looked for where it keeps them or in a folder, and never fetched from
here. That pair is Anti-DreamBooth's by name, with other weights: figures do not compare with its.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from apdm.assets import sha256
from apdm.errors import InputError
from apdm.metrics.base import joint_fingerprint
from apdm.metrics.face import Face
from apdm.pixels import to_uint8
from apdm.types import Pixels

ON = ["CPUExecutionProvider"]  # of ONNX: the same everywhere


class UnifaceFaces:
    """`FaceBackend`: both networks are ResNets of 50 layers; a face has 512 features, of no fixed length.

    `weights` is a folder with `retinaface_r50.onnx` and `arcface_resnet.onnx`, as uniface itself names and
    fetches them; its own if not given. Raises `InputError` if the package or a file is not there, or where a
    file is not the one that uniface knows.
    """

    def __init__(self, weights: Path | None = None) -> None:
        uniface, known = _installed()
        folder = weights or Path(uniface.get_cache_dir())
        networks = known.RetinaFaceWeights.RESNET50, known.ArcFaceWeights.RESNET
        hashes = [_checked(folder / f"{it.value}.onnx", known.MODEL_REGISTRY[it].sha256) for it in networks]
        uniface.set_cache_dir(str(folder))
        self._detector = uniface.RetinaFace(model_name=networks[0], providers=ON)
        self._embedder = uniface.ArcFace(model_name=networks[1], providers=ON)
        self.name = "-".join(("uniface", *(it.value for it in networks)))
        self.fingerprint = joint_fingerprint(*hashes)

    def __call__(self, pixels: Pixels) -> list[list[Face]]:
        pictures = [np.ascontiguousarray(picture[..., ::-1]) for picture in to_uint8(pixels)]  # BGR
        return [[self._face(picture, it) for it in self._detector.detect(picture)] for picture in pictures]

    def _face(self, picture: np.ndarray, found: Any) -> Face:
        left, top, right, bottom = map(float, found.bbox)
        vector = self._embedder.get_embedding(picture, found.landmarks).ravel()
        return Face((left, top, right, bottom), torch.from_numpy(vector))


def _installed() -> tuple[Any, Any]:
    """The package, and what it knows of its weights."""
    try:
        import uniface  # pyright: ignore[reportMissingImports]
        from uniface import constants  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError("uniface is not installed", fix="pip install 'apdm[uniface]'") from error
    return uniface, constants


def _checked(file: Path, known: str) -> str:
    """The file's hash: one that is missing or another would make uniface fetch it."""
    if not file.is_file():
        raise InputError(f"{file} is missing", fix="fetch it by uniface.download_models, or give its folder")
    if sha256(file) != known:
        raise InputError(f"{file} is not the file that uniface knows", fix="fetch it by uniface again")
    return known
