"""The reported toy that is most like a subject of Table 2, as the identity judge sees them: its neighbour.

python recipes/find_neighbours.py dog 0 1
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from apdm.assets import TOYBOX_IDENTITY
from apdm.metrics.identity import IdentityExtractor
from apdm.metrics.similarity import cosine_matrix
from apdm.pixels import from_uint8
from apdm.toybox.identity import identity
from apdm.toybox.seeds import Purpose
from apdm.toybox.world import portrait, render

CANDIDATES = range(10, 210)  # of the reported seeds: those before are subjects of some scenario
VIEWS = range(8)


def main(class_noun: str, *subjects: str) -> None:
    eye = IdentityExtractor(TOYBOX_IDENTITY.folder())

    def looks(index: int) -> torch.Tensor:
        seed = Purpose.REPORTED.seed(index)
        toy = identity(class_noun, seed)
        return eye(from_uint8(np.stack([render(portrait(toy, seed, view)) for view in VIEWS])))

    candidates = {index: looks(index) for index in CANDIDATES}
    for subject in map(int, subjects):
        own = looks(subject)
        alike = {index: float(cosine_matrix(own, some).mean()) for index, some in candidates.items()}
        nearest = max(alike, key=alike.__getitem__)
        others = float(np.mean(list(alike.values())))
        print(f"{class_noun} {subject}: {nearest}, {alike[nearest]:.3f} alike ({others:.3f} on the mean)")


if __name__ == "__main__":
    main(*sys.argv[1:])
