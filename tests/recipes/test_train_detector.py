"""The detector's targets and losses, written out."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from apdm.metrics.geneval import Detection
from apdm.metrics.toy_detector import Seen, ToyDetector, ToyNetwork
from render_crowds import UNSEEN, Crowds
from train_detector import (
    CALIBRATION,
    answers,
    calibration,
    detection_loss,
    heat,
    mirrored,
    presence_loss,
    save,
)
from train_reader import QUESTIONS

# Middles at (10, 22) and (42, 22): columns 2 and 10, row 5 of 16 cells of 4 pixels. The third is not there.
BOXES = torch.tensor([[[4.0, 8, 16, 36], [40, 20, 44, 24], [0, 0, 0, 0]]])
THERE = torch.tensor([[True, True, False]])


def test_heat_is_one_at_centres_and_falls_as_a_bell() -> None:
    near, toy = heat(BOXES, THERE)
    assert (near == 1).nonzero().tolist() == [[0, 5, 2], [0, 5, 10]]
    assert near[0, 6, 3].item() == pytest.approx(math.exp(-(1 + 1) / (2 * 0.8**2)))
    assert near[0, 0, 0] < 1e-6
    assert (toy[0, 5, 3], toy[0, 5, 9]) == (0, 1)


def test_a_mirrored_box_swaps_its_sides() -> None:
    assert mirrored(BOXES)[0, 0].tolist() == [48, 8, 60, 36]
    assert torch.equal(mirrored(mirrored(BOXES)), BOXES)


def test_the_presence_loss_by_hand() -> None:
    """At chance 1/2, log 1/2 = -L: the centre gives (1/2)^2 L, a cell of heat 0 the same, one of heat 1/2
    (1/2)^4 of it; of one toy."""
    near = torch.tensor([[[1.0, 0.0, 0.5]]])
    expected = math.log(2) / 4 * (1 + 1 + 1 / 16)
    assert presence_loss(torch.zeros(1, 1, 3), near).item() == pytest.approx(expected)


def perfect() -> Seen:
    """An answer that is right wherever anything is asked: dog, red, sides of the boxes; ground 1."""
    cells = torch.arange(16)
    near, toy = heat(BOXES, THERE)
    sides = torch.zeros(1, 4, 16, 16)
    for number in (0, 1):
        left, top, right, bottom = BOXES[0, number]
        x, y = (cells + 0.5)[None, :] * 4, (cells + 0.5)[:, None] * 4
        own = torch.stack(
            [
                (x - left).expand(16, 16),
                (y - top).expand(16, 16),
                (right - x).expand(16, 16),
                (bottom - y).expand(16, 16),
            ]
        )
        sides[0] = torch.where(toy[0] == number, own / 4, sides[0])
    sure = torch.full((1, 3, 16, 16), -50.0)
    sure[:, 0] = 50
    return Seen(torch.where(near == 1, 50.0, -50.0), sides, sure, sure.clone(), torch.tensor([[-50.0, 50.0]]))


def loss_of(seen: Seen) -> float:
    words = torch.tensor([[0, 0, UNSEEN]])
    return detection_loss(seen, BOXES, words, words, torch.tensor([1])).item()


def test_a_right_answer_costs_nothing() -> None:
    assert loss_of(perfect()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("part", ["presence", "labels", "colours", "grounds"])
def test_each_wrong_answer_costs(part: str) -> None:
    seen = perfect()
    wrong = getattr(seen, part).flip(1)
    assert loss_of(dataclasses.replace(seen, **{part: wrong})) > 1


def test_a_wrong_answer_costs_as_much_as_the_heat_of_its_cell() -> None:
    """Of each of two bells the centre is asked, and its four neighbours; at the corners it is below .3."""
    beside = math.exp(-1 / (2 * 0.8**2))
    total = 2 * (1 + 4 * beside)
    for column, share in ((2, 1 / total), (3, beside / total)):
        seen = perfect()
        seen.colours[0, :, 5, column] = torch.tensor([-50.0, 50.0, -50.0])
        assert loss_of(seen) == pytest.approx(100 * share, rel=1e-4)


def test_a_side_costs_half_its_mean_error_in_cells() -> None:
    seen = perfect()
    seen.sides[:, 2] += 1.0
    assert loss_of(seen) == pytest.approx(0.5 / 4, abs=1e-6)


def crowds(count: int) -> Crowds:
    """Dogs in black at (4, 8, 16, 36), one in each scene, on the first ground."""
    boxes = np.zeros((count, 3, 4), np.float32)
    boxes[:, 0] = 4, 8, 16, 36
    words = np.full((count, 3), UNSEEN)
    words[:, 0] = 0
    pictures = np.zeros((count, 64, 64, 3), np.uint8)
    return Crowds(
        pictures, boxes, words, words, np.zeros(count, int), ["a dog"] * count, np.array(["alone"] * count)
    )


class Scripted(ToyDetector):
    """Finds what it is told to, in every picture in turn."""

    def __init__(self, found: list[list[Detection]]) -> None:
        self.found = found

    def __call__(self, pixels: torch.Tensor) -> list[list[Detection]]:
        return self.found

    def grounds(self, pixels: torch.Tensor) -> list[str]:
        return [QUESTIONS["ground"][0]] * len(pixels)

    @property
    def colour_namer(self):
        return lambda pixels, found: ["black" for _ in found]


def dog(confidence: float, left: float = 4.0) -> Detection:
    return Detection("dog", confidence, (left, 8.0, left + 12, 36.0))


def test_calibration_makes_confidences_the_shares_of_right_ones() -> None:
    """Of those sure to .9 three quarters are right, of those sure to .5 a quarter: a factor of 1 and a
    summand of -log 3 do it: logit(3/4) = log 3 is log 9 - log 3, and logit(1/4) = 0 - log 3."""
    found = [[dog(0.9, 4.0 if i % 4 else 40.0)] for i in range(40)]
    found += [[dog(0.5, 40.0 if i % 4 else 4.0)] for i in range(40)]
    factor, summand = calibration(Scripted(found), crowds(80), range(80)).tolist()
    assert (factor, summand) == (pytest.approx(1, abs=1e-3), pytest.approx(-math.log(3), abs=1e-3))


def test_a_toy_found_twice_is_right_once() -> None:
    found = [[dog(0.9), dog(0.5)], [dog(0.9), dog(0.5)], [dog(0.9, 40.0), dog(0.5)], [dog(0.9), dog(0.5)]]
    factor, summand = calibration(Scripted(found), crowds(4), range(4)).tolist()
    assert factor * math.log(9) + summand == pytest.approx(math.log(3), abs=1e-2)
    assert summand == pytest.approx(-math.log(3), abs=1e-2)


def test_a_count_is_right_if_nothing_else_is_counted() -> None:
    cat = Detection("cat", 0.95, (40.0, 8, 52, 36))
    shown = torch.zeros(4, 3, 64, 64)
    told = answers(Scripted([[dog(0.6)], [dog(0.4)], [dog(0.95), cat], []]), crowds(4), shown)
    assert told == {"ground": 1, "count 1": 0.25, "class": 0.75, "colour": 0.75}


def test_what_is_saved_is_a_detector(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save(ToyNetwork((8, 8, 8), 5, 11, 6), tmp_path, (8, 8, 8))
    detector = ToyDetector(tmp_path)
    assert (list(detector.labels), list(detector.colours)) == (QUESTIONS["class"], QUESTIONS["colour"])
    assert CALIBRATION > 0
