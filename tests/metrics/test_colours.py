"""What is cut out, and that the nearest colour is named, with a CLIP whose vectors are made up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from apdm.metrics.clip import ClipExtractor
from apdm.metrics.colours import COLOURS, ClipColours, cut_out
from apdm.metrics.geneval import Detection

RED, BLUE = (1.0, -1.0, -1.0), (-1.0, -1.0, 1.0)


class Paint:
    """Sees the mean colour of a picture; reads red, blue and white in a prompt, and a tinge in "dog"."""

    name, fingerprint = "paint", "cc"

    def __init__(self) -> None:
        self.words = {"red": RED, "blue": BLUE, "white": (1.0, 1.0, 1.0), "dog": (0.0, 0.1, 0.0)}
        self.read: list[str] = []

    def __call__(self, pixels: Tensor) -> Tensor:
        return normalize(pixels.mean((2, 3)), dim=1)

    def text(self, prompts: Sequence[str]) -> Tensor:
        self.read += prompts
        spoken = [p.replace("-colored", "").split() for p in prompts]
        sums = [torch.tensor([self.words.get(w, (0.0,) * 3) for w in words]).sum(0) for words in spoken]
        return normalize(torch.stack(sums) + 1e-6, dim=1)


def painted(*boxes: tuple[tuple[int, int, int, int], tuple[float, float, float]]) -> Tensor:
    picture = torch.zeros(1, 3, 8, 8)
    for (left, top, right, bottom), colour in boxes:
        picture[:, :, top:bottom, left:right] = torch.tensor(colour)[:, None, None]
    return picture


def test_each_object_has_the_colour_whose_prompts_are_nearest() -> None:
    picture = painted(((0, 0, 4, 4), RED), ((4, 4, 8, 8), BLUE))
    found = [Detection("dog", 0.9, (4, 4, 8, 8)), Detection("dog", 0.9, (0, 0, 4, 4))]
    assert ClipColours(cast(Any, Paint()))(picture, found) == ["blue", "red"]


def test_three_prompts_for_each_of_ten_colours_are_read_once_a_class() -> None:
    paint = Paint()
    namer = ClipColours(cast(Any, paint))
    for _ in range(2):
        vectors = namer.vectors("traffic light")
    assert len(COLOURS) == len(vectors) == 10
    assert len(paint.read) == 30
    assert paint.read[:3] == [
        "a photo of a red traffic light",
        "a photo of a red-colored traffic light",
        "a photo of a red object",
    ]
    assert (namer.name, namer.fingerprint) == ("paint", "cc")


def test_a_colour_is_the_mean_of_its_prompts_vectors_at_unit_length() -> None:
    paint = Paint()
    each = paint.text(["a photo of a red dog", "a photo of a red-colored dog", "a photo of a red object"])
    assert not torch.allclose(each[0], each[2])
    vector = ClipColours(cast(Any, paint)).vectors("dog")[0]
    assert torch.allclose(vector, each.mean(0) / each.mean(0).norm(), atol=1e-6)


def test_what_is_beside_the_mask_is_grey_and_what_is_beside_the_box_is_gone() -> None:
    picture = painted(((0, 0, 8, 8), BLUE), ((2, 2, 4, 6), RED))
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[2:6, 2:4] = True
    cut = cut_out(picture, Detection("dog", 0.9, (1.6, 2.2, 5.4, 6.4), mask))
    assert cut.shape == (1, 3, 4, 3)
    assert torch.allclose(cut[0, :, :, :2].mean((1, 2)), torch.tensor(RED))
    assert cut[0, :, :, 2].flatten().tolist() == pytest.approx([0x99 / 127.5 - 1] * 12)
    assert torch.equal(cut_out(picture, Detection("dog", 0.9, (2, 2, 5, 6))), picture[:, :, 2:6, 2:5])


def test_a_box_without_an_inside_is_one_pixel() -> None:
    picture = painted(((7, 7, 8, 8), RED))
    for box in ((7.6, 7.6, 7.9, 7.9), (9.0, 9.0, 12.0, 12.0)):
        assert cut_out(picture, Detection("dog", 0.9, box))[0, :, 0, 0].tolist() == list(RED)


def test_a_real_clip_names_one_of_the_colours(clip_folder: Path) -> None:
    namer = ClipColours(ClipExtractor(clip_folder))
    found = [Detection("dog", 0.9, (0, 0, 8, 3)), Detection("dog", 0.9, (0, 0, 8, 8))]
    named = namer(painted(((0, 0, 4, 8), RED)), found)
    assert len(named) == 2
    assert set(named) <= set(COLOURS)
