"""Readers by name."""

from __future__ import annotations

from apdm.datasets.base import Dataset, Source
from apdm.datasets.celeba_hq import CelebAHQ
from apdm.datasets.custom_concept import CustomConcept101
from apdm.datasets.dreambooth import DreamBoothPhotos
from apdm.datasets.folders import Folders
from apdm.datasets.toys import Toys
from apdm.datasets.vggface2 import VGGFace2
from apdm.errors import unknown

DATASETS: dict[str, type[Dataset]] = {
    "celeba-hq": CelebAHQ,
    "vggface2": VGGFace2,
    "dreambooth": DreamBoothPhotos,
    "customconcept101": CustomConcept101,
    "folders": Folders,
    "toybox": Toys,
}


def dataset(kind: str, source: Source) -> Dataset:
    """The reader called `kind` on `source`. Raises `InputError` for a name or a folder that is no such."""
    if kind not in DATASETS:
        raise unknown("kind of dataset", kind, DATASETS)
    return DATASETS[kind](source)
