"""Toys as subjects: views of one toy in disjoint sets, as files that anybody's photos could be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from apdm.pixels import from_uint8, save_png
from apdm.subject import SET_NAMES, Subject
from apdm.toybox.identity import identity
from apdm.toybox.seeds import Purpose
from apdm.toybox.world import portrait, render

VIEWS = {"protect": 4, "attack": 4, "held_out": 8}  # 4 + 4 as Anti-DreamBooth's sets; 8 to measure with


def toy_subject(
    folder: Path, class_noun: str, seed: int, purpose: Purpose, count: Mapping[str, int] = VIEWS
) -> Subject:
    """Writes `folder`/protect, attack and held_out, `count` views of each, and reads them as a subject. Views
    are numbered on through the sets, so no picture is in two of them. Raises `InputError` for a seed that is
    not `purpose`'s."""
    purpose.require(seed)
    toy = identity(class_noun, seed)
    first = 0
    for name in SET_NAMES:
        views = [render(portrait(toy, seed, first + index)) for index in range(count[name])]
        save_png(from_uint8(np.stack(views)), folder / name, "view")
        first += count[name]
    return Subject.from_folder(folder, class_noun, name=f"{class_noun}-{seed}")


def class_renders(class_noun: str, purpose: Purpose, count: int) -> np.ndarray:
    """One view each of `count` toys of the class, uint8 [count 64 64 3]: what the class looks like. The
    toys are the last of `purpose`'s range, away from the subjects."""
    seeds = range(purpose.end - count, purpose.end)
    return np.stack([render(portrait(identity(class_noun, seed), seed, 0)) for seed in seeds])
