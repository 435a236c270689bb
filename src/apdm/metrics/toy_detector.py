"""Finds toys in pictures: class, box and main colour of each, and the ground; GenEval's eye on a laptop.

One network of our own answers all: a heat map of the toys' centres, and what is where it peaks (CenterNet,
Zhou et al. 2019), with the ways to the box's four sides (FCOS, Tian et al. 2019).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, relu

from apdm.errors import InputError
from apdm.metrics.base import digest
from apdm.metrics.geneval import Box, Detection, Rules
from apdm.pixels import resize_to
from apdm.types import Pixels

STRIDE = 4  # pixels a cell
GROUPS = 8
BATCH = 100  # pictures a pass; memory only
RULES = Rules(counting_threshold=0.5)
"""GenEval's rules for this detector: its confidences are chances, and what is likelier there than not is
counted (our choice). GenEval's .9 is Mask2Former's."""
LEAST = 0.05  # confidence below which a peak is none; our choice, far below GenEval's thresholds


@dataclass(frozen=True)
class Seen:
    """What the network says of b pictures, h x w cells each: logits, and `sides` in cells.

    `presence`: the centre of a toy lies here. `sides`: from the middle of the cell to the left, top, right
    and bottom side of its box.
    """

    presence: Float[Tensor, "b h w"]
    sides: Float[Tensor, "b 4 h w"]
    labels: Float[Tensor, "b classes h w"]
    colours: Float[Tensor, "b colours h w"]
    grounds: Float[Tensor, "b grounds"]


class ToyNetwork(nn.Module):
    """Residual blocks at a quarter and an eighth of the picture's size, put together at the quarter.

    `calibration` is the factor and the summand of a detection's logit (Platt 1999).
    """

    calibration: Tensor

    def __init__(self, widths: Sequence[int], classes: int, colours: int, grounds: int) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.parts = (1, 4, classes, colours)
        self.stem = nn.Sequential(
            nn.Conv2d(3, fine, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(fine, middle, 3, 2, 1),
            Block(middle),
            Block(middle),
        )
        self.down = nn.Sequential(nn.Conv2d(middle, coarse, 3, 2, 1), Block(coarse), Block(coarse))
        self.up = nn.Conv2d(coarse, middle, 1)
        self.last = Block(middle)
        self.head = nn.Conv2d(middle, sum(self.parts), 1)
        self.ground = nn.Linear(coarse, grounds)
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))

    def forward(self, pixels: Pixels) -> Seen:
        quarter = self.stem(pixels)
        eighth = self.down(quarter)
        together = self.last(quarter + interpolate(self.up(eighth), scale_factor=2))
        presence, sides, labels, colours = self.head(relu(together)).float().split(self.parts, dim=1)
        grounds = self.ground(relu(eighth).mean((2, 3))).float()
        return Seen(presence[:, 0], sides, labels, colours, grounds)


class Block(nn.Module):
    """Two convolutions and what went in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        halves = [
            (nn.GroupNorm(GROUPS, width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)) for _ in "12"
        ]
        self.layers = nn.Sequential(*halves[0], *halves[1])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class ToyDetector:
    """`Detector` of toys, in a folder of config.json and model.safetensors; boxes, no masks.

    A confidence is the chance that a toy of this class is there, calibrated on scenes that were not trained
    on. Pictures of another size than the network's are resized. Raises `InputError` if there is no such
    network or it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.network, config = _load(folder)
        self.name = folder.resolve().name
        self.side: int = config["side"]
        self.labels, self.colours, self.places = (
            tuple(cast("list[str]", config[words])) for words in ("labels", "colours", "grounds")
        )
        self.fingerprint = digest(self.network.state_dict().values())

    def __call__(self, pixels: Pixels) -> list[list[Detection]]:
        return [found for part in pixels.split(BATCH) for found in self._found(part)]

    def grounds(self, pixels: Pixels) -> list[str]:
        """The ground of each picture, by its key in `world.GROUNDS`."""
        return [
            self.places[i] for part in pixels.split(BATCH) for i in self.look(part).grounds.argmax(1).tolist()
        ]

    @property
    def colour_namer(self) -> ToyColours:
        """The same network's word for a toy's main colour."""
        return ToyColours(self)

    @torch.no_grad()
    def look(self, pixels: Pixels) -> Seen:
        """The network's own answer to pictures in [-1, 1] of any size."""
        return self.network(resize_to(pixels.cpu().float(), self.side, self.side))

    def _found(self, pixels: Pixels) -> list[list[Detection]]:
        seen = self.look(pixels)
        label = seen.labels.argmax(1)
        confidence = torch.sigmoid(calibrated(raw_logit(seen), self.network.calibration))
        boxes = boxes_of(seen) * torch.tensor([pixels.shape[3], pixels.shape[2]] * 2) / self.side
        found: list[list[Detection]] = [[] for _ in pixels]
        for at in peaks(confidence).nonzero().tolist():
            where = tuple(at)
            box = cast("Box", tuple(boxes[where].tolist()))
            found[at[0]].append(Detection(self.labels[int(label[where])], float(confidence[where]), box))
        return found


class ToyColours:
    """`ColourNamer`: what the detector's network says at the middle of the box."""

    def __init__(self, detector: ToyDetector) -> None:
        self.detector, self.colours = detector, detector.colours
        self.name, self.fingerprint = detector.name, detector.fingerprint

    def __call__(self, pixels: Pixels, found: Sequence[Detection]) -> list[str]:
        colours = self.detector.look(pixels).colours[0]
        cells = torch.tensor(colours.shape[:0:-1])  # columns, rows
        size = torch.tensor([pixels.shape[3], pixels.shape[2]])
        words = []
        for one in found:
            middle = (torch.tensor(one.box[:2]) + torch.tensor(one.box[2:])) / 2
            column, row = (middle / size * cells).long().clamp(min=0).minimum(cells - 1).tolist()
            words.append(self.colours[int(colours[:, row, column].argmax())])
        return words


def raw_logit(seen: Seen) -> Float[Tensor, "b h w"]:
    """Logit of the chance that the centre of a toy lies in a cell and has the likeliest class."""
    return torch.logit(seen.presence.sigmoid() * seen.labels.softmax(1).amax(1), eps=1e-6)


def calibrated(logit: Tensor, calibration: Tensor) -> Tensor:
    """`calibration` is a factor and a summand."""
    return calibration[0] * logit + calibration[1]


def peaks(confidence: Float[Tensor, "b h w"]) -> Bool[Tensor, "b h w"]:
    """Cells that no neighbour exceeds and that are not all but nothing."""
    return (confidence == max_pool2d(confidence, 3, 1, 1)) & (confidence > LEAST)


def boxes_of(seen: Seen) -> Float[Tensor, "b h w 4"]:
    """Left, top, right, bottom in the network's pixels, as each cell sees them, cut off at the borders."""
    _, _, rows, columns = seen.sides.shape
    y, x = torch.meshgrid(torch.arange(rows) + 0.5, torch.arange(columns) + 0.5, indexing="ij")
    ends = torch.stack([x, y, x, y]) + seen.sides * torch.tensor([-1, -1, 1, 1])[:, None, None]
    return ends.permute(0, 2, 3, 1).minimum(torch.tensor([columns, rows] * 2)).clamp(min=0) * STRIDE


def _load(folder: Path) -> tuple[ToyNetwork, dict[str, Any]]:
    try:
        config = json.loads((folder / "config.json").read_text())
        counts = (len(config[words]) for words in ("labels", "colours", "grounds"))
        network = ToyNetwork(config["widths"], *counts)
        network.load_state_dict({k: v.float() for k, v in load_file(folder / "model.safetensors").items()})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"no readable detector in '{folder}'", fix="give the folder of a trained one"
        ) from error
    return network.eval().requires_grad_(False), config
