"""The colour of an object by CLIP without training, as GenEval asks it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from apdm.metrics.clip import ClipExtractor
from apdm.metrics.geneval import Detection
from apdm.pixels import from_uint8
from apdm.types import Pixels

COLOURS = (
    "red",
    "orange",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
    "brown",
    "black",
    "white",
)  # GenEval's
TEMPLATES = (
    "a photo of a {colour} {label}",
    "a photo of a {colour}-colored {label}",
    "a photo of a {colour} object",
)
AROUND = 0x99  # grey level of what is not the object, GenEval's


class ClipColours:
    """`ColourNamer`: the colour whose prompts are nearest to the object, cut out and put on grey.

    GenEval takes CLIP ViT-L/14. Without a mask the whole box is looked at.
    """

    def __init__(self, clip: ClipExtractor) -> None:
        self.clip, self.name, self.fingerprint, self.colours = clip, clip.name, clip.fingerprint, COLOURS
        self._of_label: dict[str, Float[Tensor, "colours d"]] = {}

    def __call__(self, pixels: Pixels, found: Sequence[Detection]) -> list[str]:
        return [
            COLOURS[int((self.clip(cut_out(pixels, one)) @ self.vectors(one.label).T).argmax())]
            for one in found
        ]

    def vectors(self, label: str) -> Float[Tensor, "colours d"]:
        """For each colour the mean of its three prompts' unit vectors, at unit length."""
        if label not in self._of_label:
            prompts = [t.format(colour=colour, label=label) for colour in COLOURS for t in TEMPLATES]
            each = self.clip.text(prompts).view(len(COLOURS), len(TEMPLATES), -1)
            self._of_label[label] = normalize(each.mean(1), dim=1)
        return self._of_label[label]


def cut_out(pixels: Pixels, found: Detection) -> Pixels:
    """The object's box of a picture [1 3 h w], grey where its mask is not; one pixel or more a side."""
    if found.mask is not None:
        grey = from_uint8(np.full((1, 1, 1, 3), AROUND, dtype=np.uint8)).to(pixels.device)
        pixels = torch.where(found.mask.to(pixels.device), pixels, grey)
    left, top, right, bottom = (max(round(side), 0) for side in found.box)
    left, top = min(left, pixels.shape[3] - 1), min(top, pixels.shape[2] - 1)
    return pixels[:, :, top : max(bottom, top + 1), left : max(right, left + 1)]
