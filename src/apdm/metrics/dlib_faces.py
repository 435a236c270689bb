"""Faces by dlib, whose networks come as a package: the face backend that needs no download.

A ResNet of 128 features (King 2017), trained so that two faces of one person lie nearer than 0.6.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from apdm.assets import sha256
from apdm.errors import InputError
from apdm.metrics.base import joint_fingerprint
from apdm.metrics.face import Face
from apdm.pixels import to_uint8
from apdm.types import Pixels

EMBEDDER = "dlib_face_recognition_resnet_model_v1.dat"
LANDMARKS = "shape_predictor_5_face_landmarks.dat"
DETECTOR = "mmod_human_face_detector.dat"


class DlibFaces:
    """`FaceBackend`: dlib's CNN finds the faces, of some 80 pixels a side or more; with `cnn` False its
    histogram of gradients does, which is faster by far and takes more for a face that is none.

    Raises `InputError` if its two packages are not installed.
    """

    def __init__(self, cnn: bool = True) -> None:
        dlib, folder = _installed()
        files = [folder / name for name in (EMBEDDER, LANDMARKS, DETECTOR)]
        self._embedder = dlib.face_recognition_model_v1(str(files[0]))
        self._landmarks = dlib.shape_predictor(str(files[1]))
        self._detector: Any = dlib.get_frontal_face_detector()
        if cnn:
            detect = dlib.cnn_face_detection_model_v1(str(files[2]))
            self._detector = lambda picture: [found.rect for found in detect(picture)]
        self.name = f"dlib-{'cnn' if cnn else 'hog'}"
        self.fingerprint = joint_fingerprint(*map(sha256, files))

    def __call__(self, pixels: Pixels) -> list[list[Face]]:
        return [[self._face(picture, box) for box in self._detector(picture)] for picture in to_uint8(pixels)]

    def _face(self, picture: Any, box: Any) -> Face:
        vector = self._embedder.compute_face_descriptor(picture, self._landmarks(picture, box))
        corners = box.left(), box.top(), box.right() + 1, box.bottom() + 1  # dlib's ends are inside
        return Face(corners, torch.tensor(list(vector)))


def _installed() -> tuple[Any, Path]:
    """dlib and the folder of its networks; their package, which wants pkg_resources, is not imported."""
    try:
        import dlib  # pyright: ignore[reportMissingImports]
    except ImportError:
        dlib = None
    package = find_spec("face_recognition_models")
    if dlib is None or package is None or package.origin is None:
        raise InputError("dlib or its networks are not installed", fix="pip install 'apdm[dlib]'")
    return dlib, Path(package.origin).parent / "models"
