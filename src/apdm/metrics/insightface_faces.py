"""Faces by insightface: a detector (SCRFD or RetinaFace) and ArcFace, from one of its model packs.

A pack is no part of the package. It is looked for where insightface keeps it or in a folder, and never
fetched from here. insightface's own packs may be used for research that is not commercial.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from apdm.assets import sha256
from apdm.errors import InputError, one_line
from apdm.metrics.base import joint_fingerprint
from apdm.metrics.face import Face
from apdm.pixels import to_uint8
from apdm.types import Pixels

PACK = Path("~/.insightface/models/buffalo_l")  # insightface's default
TASKS = ["detection", "recognition"]
ON = ["CPUExecutionProvider"]  # of ONNX: the same everywhere


class InsightFaces:
    """`FaceBackend`: a face's features are ArcFace's as they are, of no fixed length.

    `weights` is the folder of a pack; that of buffalo_l, where insightface keeps it, if not given. Raises
    `InputError` if the package is not there, or the folder is no pack.
    """

    def __init__(self, weights: Path | None = None) -> None:
        analysis = _installed()
        folder = (weights or PACK).expanduser().resolve()  # a relative one it joins to its own, and fetches
        files = sorted(folder.glob("*.onnx"))
        if not files:  # insightface would fetch it
            raise InputError(
                f"'{folder}' holds no ONNX file",
                fix="unpack insightface's buffalo_l there, or give a pack's folder",
            )
        self._faces = _loaded(analysis, folder)
        self.name = f"insightface-{folder.name}"
        self.fingerprint = joint_fingerprint(*map(sha256, files))

    def __call__(self, pixels: Pixels) -> list[list[Face]]:
        pictures = [np.ascontiguousarray(picture[..., ::-1]) for picture in to_uint8(pixels)]  # BGR
        return [[_face(found) for found in self._faces.get(picture)] for picture in pictures]


def _face(found: Any) -> Face:
    left, top, right, bottom = map(float, found.bbox)
    return Face((left, top, right, bottom), torch.from_numpy(found.embedding))


def _installed() -> Any:
    try:
        from insightface.app import FaceAnalysis  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError("insightface is not installed", fix="pip install 'apdm[insightface]'") from error
    return FaceAnalysis


def _loaded(analysis: Any, folder: Path) -> Any:
    """The pack's two networks, on the CPU."""
    try:
        faces = analysis(str(folder), allowed_modules=TASKS, providers=ON)
    except AssertionError:  # what it says of a pack without a detector
        faces = None
    except Exception as error:  # of onnxruntime, whose errors have nothing in common
        raise InputError(
            f"'{folder}' could not be loaded ({one_line(error)})", fix="check that its files are whole"
        ) from error
    if faces is None or not {*TASKS} <= {*faces.models}:
        raise InputError(f"'{folder}' does not hold a detector and ArcFace", fix="give a whole pack's folder")
    faces.prepare(ctx_id=-1)
    return faces
