"""Faces as Anti-DreamBooth measures them (Le et al. 2023): are there any, and are they the person's?

FDFR is the share of pictures without a face. ISM is the mean cosine of the largest face and the mean of the
reference faces, over the pictures that have one. Both belong to the backend that found and embedded the
faces: the paper's RetinaFace and ArcFace give other numbers than dlib, which do not compare with its.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics.base import Score
from apdm.metrics.similarity import cosine_matrix
from apdm.metrics.statistics import mean_score
from apdm.types import Pixels


@dataclass(frozen=True)
class Face:
    """A box (left, top, right, bottom in pixels) and what the backend's network makes of the face in it."""

    box: tuple[float, float, float, float]
    embedding: Float[Tensor, "d"]

    @property
    def area(self) -> float:
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


class FaceBackend(Protocol):
    """Finds and embeds faces: one list for each picture, in any order."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    def __call__(self, pixels: Pixels) -> list[list[Face]]: ...


def largest_faces(backend: FaceBackend, pixels: Pixels) -> list[Face | None]:
    """Of each picture the face with the largest box; None where there is no face."""
    return [max(faces, key=lambda face: face.area, default=None) for faces in backend(pixels)]


def fdfr_score(faces: Sequence[Face | None], backend: FaceBackend, *, seed: int) -> Score:
    """Face detection failure rate: the share of pictures in which `largest_faces` found none.

    Raises `InputError` if there is no picture.
    """
    missed = torch.tensor([face is None for face in faces], dtype=torch.float64).numpy()
    return mean_score(
        missed,
        seed=seed,
        metric="FDFR",
        direction=Direction.HIGHER_PROTECTS,
        extractor=backend.name,
        fingerprint=backend.fingerprint,
    )


def ism_score(
    faces: Sequence[Face | None], references: Sequence[Face | None], backend: FaceBackend, *, seed: int
) -> Score:
    """Identity score matching: mean cosine to the mean of the references' embeddings as they are.

    n counts the pictures with a face, `excluded` those without. Where none has a face the value is undefined
    (NaN) and n is 0. Raises `InputError` if there is no picture, or no face in the references.
    """
    known = [face.embedding for face in references if face]
    if not known:
        raise InputError(f"{len(references)} references show no face", fix="give photos with a face")
    person = torch.stack(known).double().mean(0, keepdim=True)
    cosines = [float(cosine_matrix(face.embedding[None], person)) for face in faces if face]
    return mean_score(
        np.array(cosines),
        seed=seed,
        metric="ISM",
        direction=Direction.LOWER_PROTECTS,
        extractor=backend.name,
        fingerprint=backend.fingerprint,
        excluded=len(faces) - len(cosines),
    )
