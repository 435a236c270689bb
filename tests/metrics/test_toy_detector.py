"""The detector of toys: its arithmetic on networks made by hand, and what the shipped one finds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from apdm.assets import TOYBOX_DETECTOR
from apdm.errors import InputError
from apdm.metrics.geneval import Detection, Prompt, Requirement, geneval, kept, relations
from apdm.metrics.toy_detector import LEAST, RULES, Seen, ToyDetector, ToyNetwork, boxes_of, peaks
from apdm.pixels import from_uint8
from apdm.toybox import captions
from apdm.toybox.captions import Described
from apdm.toybox.identity import main_colour, stream
from apdm.toybox.seeds import Purpose
from apdm.toybox.world import render, silhouettes

CONFIG = {
    "side": 16,
    "widths": [8, 8, 8],
    "labels": ["dog", "cat"],
    "colours": ["red", "blue", "gray"],
    "grounds": ["snow", "room"],
}
BLANK = torch.zeros(2, 3, 16, 16)


def save(network: ToyNetwork, folder: Path) -> Path:
    (folder / "config.json").write_text(json.dumps(CONFIG))
    save_file(
        {name: weight.half() for name, weight in network.state_dict().items()}, folder / "model.safetensors"
    )
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Says the same of every cell: presence 2, sides 1 (or 2 downwards), the cat, gray; and the room."""
    network = ToyNetwork((8, 8, 8), 2, 3, 2)
    for part in (network.head, network.ground):
        torch.nn.init.zeros_(part.weight)
    with torch.no_grad():
        network.head.bias.copy_(torch.tensor([2.0, 1, 1, 1, 2, 0.0, 1.0, 0.2, 0.1, 0.3]))
        network.ground.bias.copy_(torch.tensor([0.0, 0.5]))
        network.calibration.copy_(torch.tensor([2.0, -1.0]))
    return save(network, tmp_path)


def seen_at(presence: Tensor, sides: Tensor) -> Seen:
    b, h, w = presence.shape
    return Seen(presence, sides, torch.zeros(b, 2, h, w), torch.zeros(b, 3, h, w), torch.zeros(b, 2))


def test_a_box_is_the_middle_of_its_cell_and_the_way_to_its_sides() -> None:
    """Row 1, column 2, cells of 4 pixels: the middle is (10, 6); 1, .5, 1.25, .75 cells are 4, 2, 5, 3."""
    sides = torch.zeros(1, 4, 4, 4)
    sides[0, :, 1, 2] = torch.tensor([1.0, 0.5, 1.25, 0.75])
    assert boxes_of(seen_at(torch.zeros(1, 4, 4), sides))[0, 1, 2].tolist() == [6, 4, 15, 9]


def test_boxes_end_with_the_picture() -> None:
    wide = boxes_of(seen_at(torch.zeros(1, 4, 6), torch.full((1, 4, 4, 6), 9.0)))
    assert wide.view(-1, 4).unique(dim=0).tolist() == [[0, 0, 24, 16]]


def test_a_peak_is_what_no_neighbour_exceeds() -> None:
    confidence = torch.zeros(1, 4, 6)
    confidence[0, 1, 1], confidence[0, 2, 2], confidence[0, 1, 4] = 0.8, 0.9, 0.4
    confidence[0, 3, 5] = LEAST / 2
    assert peaks(confidence).nonzero()[:, 1:].tolist() == [[1, 4], [2, 2]]


def test_a_confidence_is_the_calibrated_chance_of_toy_and_class(folder: Path) -> None:
    """p = sigmoid(2) sigmoid(1) = .6439; its logit .5924, doubled, less 1: .1847; as a chance .5461."""
    found = ToyDetector(folder)(BLANK)
    assert {(one.label, round(one.confidence, 3)) for one in found[0]} == {("cat", 0.546)}
    assert found[0] == found[1]


def test_boxes_are_in_the_pictures_own_pixels(folder: Path) -> None:
    """The cell in row 1, column 2 of 4: x 10 -+ 4, y 6 - 4 and + 8, times 3 across and times 2 down."""
    detector = ToyDetector(folder)
    boxes = [one.box for one in detector(torch.zeros(1, 3, 32, 48))[0]]
    assert boxes[6] == (18, 4, 42, 28)
    assert detector(BLANK[:1])[0][6].box == (6, 2, 14, 14)


def test_colours_are_read_at_the_middle_of_each_box(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = ToyDetector(folder)
    assert detector.colour_namer(BLANK[:1], detector(BLANK[:1])[0][:2]) == ["gray", "gray"]
    painted = seen_at(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4, 4))
    painted.colours[0, 1, 1, 2] = 1.0  # blue in row 1, column 2
    monkeypatch.setattr(detector, "look", lambda pixels: painted)
    boxes = [(6.0, 2.0, 14.0, 10.0), (2.0, 6.0, 10.0, 14.0), (12.0, 12.0, 40.0, 40.0)]
    words = detector.colour_namer(BLANK[:1], [Detection("dog", 1.0, box) for box in boxes])
    assert words == ["blue", "red", "red"]


def test_the_ground_is_the_likeliest(folder: Path) -> None:
    assert ToyDetector(folder).grounds(BLANK) == ["room", "room"]


def test_it_is_named_after_its_folder_and_told_by_its_weights(folder: Path) -> None:
    detector = ToyDetector(folder)
    assert (detector.name, detector.labels, detector.colours) == (
        folder.name,
        ("dog", "cat"),
        ("red", "blue", "gray"),
    )
    other = ToyNetwork((8, 8, 8), 2, 3, 2)
    assert ToyDetector(save(other, folder)).fingerprint != detector.fingerprint
    assert detector.colour_namer.fingerprint == detector.fingerprint


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def of_another_width(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG | {"widths": [8, 16, 8]}))


def without_words(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"side": 16, "widths": [8, 8, 8]}))


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize("harm", [cut_short, of_another_width, without_words, without_weights])
def test_a_damaged_folder_is_one_line(folder: Path, harm: Callable[[Path], None]) -> None:
    harm(folder)
    with pytest.raises(InputError, match="no readable detector"):
        ToyDetector(folder)


# The shipped one


@pytest.fixture(scope="module")
def shipped() -> ToyDetector:
    return ToyDetector(TOYBOX_DETECTOR.folder())


@pytest.fixture(scope="module")
def scenes() -> dict[str, list[Described]]:
    """Scenes of tuning toys, which nothing was trained on."""
    kinds = ("alone", "pair", "several")
    return {
        kind: [captions.scene(stream("detector test", kind, i), Purpose.TUNING, kind) for i in range(60)]
        for kind in kinds
    }


def rendered(told: list[Described]) -> Tensor:
    return from_uint8(np.stack([render(one.scene) for one in told]))


def test_it_reads_toys_that_nobody_has_seen(shipped: ToyDetector, scenes: dict[str, list[Described]]) -> None:
    pictures = rendered(scenes["alone"])
    right: dict[str, list[bool]] = {"class": [], "colour": [], "ground": []}
    for number, (found, ground) in enumerate(zip(shipped(pictures), shipped.grounds(pictures), strict=True)):
        scene = scenes["alone"][number].scene
        surest = max(found, key=lambda one: one.confidence)
        colour = shipped.colour_namer(pictures[number : number + 1], [surest])
        right["class"].append(surest.label == scene.toys[0].toy.class_noun)
        right["colour"].append(colour == [main_colour(scene.toys[0].toy).word])
        right["ground"].append(ground == scene.view.ground)
    assert {question: np.mean(shares) >= 0.9 for question, shares in right.items()} == dict.fromkeys(
        right, True
    )


def test_its_boxes_hold_the_toys(shipped: ToyDetector, scenes: dict[str, list[Described]]) -> None:
    """Nine tenths of what is seen of a toy lie in its box, which is little larger."""
    inside, shares = [], []
    for one, found in zip(scenes["alone"], shipped(rendered(scenes["alone"])), strict=True):
        seen = silhouettes(one.scene)[0]
        left, top, right, bottom = (round(side) for side in max(found, key=lambda d: d.confidence).box)
        inside.append(seen[top:bottom, left:right].sum() / seen.sum())
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        least = (rows[-1] + 1 - rows[0]) * (columns[-1] + 1 - columns[0])
        shares.append((right - left) * (bottom - top) / least)
    assert np.mean(inside) > 0.9
    assert 0.85 < np.median(shares) < 1.15


@pytest.mark.parametrize("count", [1, 2, 3])
def test_it_counts_by_genevals_rules(
    shipped: ToyDetector, scenes: dict[str, list[Described]], count: int
) -> None:
    told = [one for one in scenes["alone"] + scenes["several"] if len(one.scene.toys) == count]
    right = [
        {label: len(some) for label, some in kept(found, "counting", RULES).items() if some}
        == {one.scene.toys[0].toy.class_noun: count}
        for one, found in zip(told, shipped(rendered(told)), strict=True)
    ]
    assert len(right) > 15
    assert np.mean(right) >= 0.85


def test_it_tells_left_from_right(shipped: ToyDetector, scenes: dict[str, list[Described]]) -> None:
    told = [one for one in scenes["pair"] if len({placed.toy.class_noun for placed in one.scene.toys}) == 2]
    right = []
    for one, found in zip(told, shipped(rendered(told)), strict=True):
        boxes = {detection.label: detection.box for detection in found if detection.confidence > 0.3}
        left, other = (boxes.get(placed.toy.class_noun) for placed in one.scene.toys)
        right.append(left is not None and other is not None and relations(left, other) == {"left of"})
    assert len(right) > 20
    assert np.mean(right) >= 0.85


def test_geneval_runs_over_it(shipped: ToyDetector, scenes: dict[str, list[Described]]) -> None:
    """Each picture against what it shows, and against another class."""
    told = scenes["alone"][:12]
    nouns = [one.scene.toys[0].toy.class_noun for one in told]
    pictures = rendered(told)

    def share(asked: list[str]) -> float:
        prompts = [Prompt("single_object", noun, (Requirement(noun, 1),)) for noun in asked]
        shown = lambda number: pictures[number : number + 1]  # noqa: E731
        return geneval(prompts, shown, shipped, shipped.colour_namer, RULES, seed=0).overall.value

    assert share(nouns) > 0.8
    assert share(["car" if noun != "car" else "dog" for noun in nouns]) < 0.2
