"""VGGFace2 (Cao et al. 2018): a folder for each identity."""

from __future__ import annotations

from pathlib import Path

from apdm.datasets.base import Division, Source
from apdm.datasets.folders import Folders
from apdm.errors import InputError
from apdm.pixels import UnreadableImage, stored_size

LEAST_PHOTOS, LEAST_SIDE = 15, 500  # which identities Anti-DreamBooth takes, and of which photos


class VGGFace2(Folders):
    """Of each identity the photos with both sides of 500 pixels or more; 15 of them or the identity is
    not used, as in Anti-DreamBooth."""

    division = Division.FOURS
    licence = "not known here: see the publisher's page"

    def _noun(self, source: Source) -> str:
        return "person"

    def photos(self, name: str) -> tuple[Path, ...]:
        large = tuple(path for path in super().photos(name) if _is_large(path))
        if len(large) < LEAST_PHOTOS:
            raise InputError(
                f"photos of {LEAST_SIDE} pixels or more in {self.folders[name]}: {len(large)}, "
                f"needed: {LEAST_PHOTOS}",
                fix="take another identity",
            )
        return large


def _is_large(path: Path) -> bool:
    try:
        return min(stored_size(path)) >= LEAST_SIDE
    except UnreadableImage:
        return False
