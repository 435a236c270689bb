"""Trains the Toybox's detector: which toys are where, in what colour, and on what ground?

    python recipes/train_detector.py --work_dir runs/recipes

A small convolutional network of our own, trained on the scenes of `render_crowds.py`, all of them disturbed.
The heat map's loss is CenterNet's (Zhou et al. 2019); classes, colours and boxes are asked at the toys'
centres. Its figures are taken by GenEval's code.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from apdm.metrics.geneval import (
    Box,
    ColourNamer,
    Detection,
    Prompt,
    Requirement,
    is_right,
    kept,
    overlap,
)
from apdm.metrics.toy_detector import RULES, STRIDE, Seen, ToyDetector, ToyNetwork
from apdm.seeding import generator
from apdm.toybox.identity import stream
from apdm.types import Pixels
from render_crowds import CROWDS, HELD_OUT, UNSEEN, Crowds
from train_identity import spoil
from train_reader import QUESTIONS
from train_vae import pixels
from training import Training

SIDE = 64
WIDTHS = (32, 64, 128)
SPREAD = 0.8  # deviation of the heat around a centre, in cells
BESIDE = 0.3  # heat from which a cell is asked for its toy's class, colour and box
CALIBRATION = 1000  # the last scenes calibrate, they do not train


def heat(boxes: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """How near each of the cells [b h w] is to a toy's centre, 1 at the centre's own cell, and to whose."""
    cells = torch.arange(SIDE // STRIDE)
    centre = ((boxes[..., :2] + boxes[..., 2:]) / 2 / STRIDE).long().clamp(max=len(cells) - 1)
    away = (cells - centre[..., None]).square()  # [b toys 2 cells]: across, then down
    squared = away[..., 0, None, :] + away[..., 1, :, None]
    near = torch.exp(-squared / (2 * SPREAD**2)) * there[..., None, None]
    return near.amax(1), near.argmax(1)


def presence_loss(logits: Tensor, near: Tensor) -> Tensor:
    """CenterNet's focal loss, alpha 2 and beta 4, for each toy."""
    chance, centre = logits.sigmoid(), near == 1
    missed = (1 - chance).square() * F.logsigmoid(logits) * centre
    invented = (1 - near) ** 4 * chance.square() * F.logsigmoid(-logits) * ~centre
    return -(missed + invented).sum() / centre.sum().clamp(min=1)


def detection_loss(seen: Seen, boxes: Tensor, classes: Tensor, colours: Tensor, grounds: Tensor) -> Tensor:
    """Presence; around the centres cross-entropy of class and colour, L1 of the box's sides; the ground's."""
    near, toy = heat(boxes, classes >= 0)
    asked = near > BESIDE
    picture, row, column = asked.nonzero().T
    weight = near[asked] / near[asked].sum()
    own = (picture, toy[asked])
    middle = (torch.stack([column, row, column, row], dim=1) + 0.5) * STRIDE
    sides = (boxes[own] - middle) * torch.tensor([-1, -1, 1, 1]) / STRIDE
    at = lambda what: what.movedim(1, -1)[asked]  # noqa: E731
    each = (
        F.cross_entropy(at(seen.labels), classes[own], reduction="none")
        + F.cross_entropy(at(seen.colours), colours[own], reduction="none")
        + 0.5 * F.l1_loss(at(seen.sides), sides, reduction="none").mean(1)
    )
    ground = F.cross_entropy(seen.grounds, grounds)
    return presence_loss(seen.presence, near) + (weight * each).sum() + 0.3 * ground


def mirrored(boxes: Tensor) -> Tensor:
    left, top, right, bottom = boxes.unbind(-1)
    return torch.stack([SIDE - right, top, SIDE - left, bottom], dim=-1)


def calibration(detector: ToyDetector, crowds: Crowds, numbers: range) -> Tensor:
    """Factor and summand of the logit at which detections are as often right as they are sure (Platt 1999):
    class right and boxes half the same, each toy found once."""
    logits, right = [], []
    for number, found in zip(numbers, detector(pixels(crowds.pictures[numbers.start :])), strict=True):
        left = toys(crowds, number)
        for one in sorted(found, key=lambda d: -d.confidence):
            hit = next((t for t in left if t[0] == one.label and overlap(t[2], one.box) > 0.5), None)
            if hit:
                left.remove(hit)
            logits.append(np.log(one.confidence / (1 - one.confidence)))
            right.append(hit is not None)
    z, y = torch.tensor(logits), torch.tensor(right).double()
    fitted = torch.tensor([1.0, 0.0], dtype=torch.double, requires_grad=True)
    solver = torch.optim.LBFGS([fitted], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        value = F.binary_cross_entropy_with_logits(fitted[0] * z + fitted[1], y)
        value.backward()
        return value

    solver.step(loss)
    return fitted.detach().float()


def toys(crowds: Crowds, number: int) -> list[tuple[str, str, Box]]:
    """Class, colour and box of the toys to be seen in a scene, from left to right."""
    fields = (field[number].tolist() for field in (crowds.classes, crowds.colours, crowds.boxes))
    return [
        (QUESTIONS["class"][label], QUESTIONS["colour"][colour], tuple(box))
        for label, colour, box in zip(*fields, strict=True)
        if label != UNSEEN
    ]


def measure(detector: ToyDetector, crowds: Crowds, vae: AutoencoderKL) -> dict[str, dict[str, float]]:
    """Share of right answers in scenes never seen, as they are and as the autoencoder gives them back; and
    how many scenes each is of."""
    shown = pixels(crowds.pictures)
    again = torch.cat([reconstruction(vae, piece) for piece in shown.split(100)])
    told = answers(detector, crowds, shown), answers(detector, crowds, again)
    shares = [{question: float(np.mean(right)) for question, right in one.items()} for one in told]
    return {
        "scenes": {question: len(right) for question, right in told[0].items()},
        "pictures": shares[0],
        "reconstructions": shares[1],
    }


@torch.no_grad()
def reconstruction(vae: AutoencoderKL, pictures: Pixels) -> Pixels:
    return vae.decode(vae.encode(pictures).latent_dist.mean).sample.clamp(-1, 1)


def answers(detector: ToyDetector, crowds: Crowds, shown: Pixels) -> dict[str, list[bool]]:
    """Which of the scenes that a question can be asked of are read right."""
    right: dict[str, list[bool]] = {}
    for number, (found, ground) in enumerate(zip(detector(shown), detector.grounds(shown), strict=True)):
        there, picture = toys(crowds, number), shown[number : number + 1]
        told = {"ground": ground == QUESTIONS["ground"][crowds.grounds[number]]}
        counted = Counter({label: len(some) for label, some in kept(found, "counting", RULES).items()})
        all_counted = counted == Counter(label for label, _, _ in there)
        if crowds.kinds[number] == "pair":
            told |= {"pair": all_counted, **pair_answers(picture, found, there, detector.colour_namer)}
        else:
            told[f"count {len(there)}"] = all_counted
        if crowds.kinds[number] == "alone":
            told |= surest_answers(picture, found, there[0], detector.colour_namer)
        for question, is_so in told.items():
            right.setdefault(question, []).append(is_so)
    return right


def pair_answers(
    picture: Pixels, found: list[Detection], there: list[tuple[str, str, Box]], namer: ColourNamer
) -> dict[str, bool]:
    """GenEval's tasks for a pair, if its classes differ: each asks a class for one toy."""
    (left, its_colour, _), (right, other_colour, _) = there
    asked = {
        "two_object": (Requirement(left, 1), Requirement(right, 1)),
        "position": (Requirement(left, 1), Requirement(right, 1, position=("right of", 0))),
        "color_attr": (Requirement(left, 1, its_colour), Requirement(right, 1, other_colour)),
    }
    return {
        task: is_right(picture, found, Prompt(task, "", include), namer, RULES)
        for task, include in asked.items()
        if left != right
    }


def surest_answers(
    picture: Pixels, found: list[Detection], toy: tuple[str, str, Box], namer: ColourNamer
) -> dict[str, bool]:
    """Class and colour of the surest detection, wrong if there is none."""
    surest = sorted(found, key=lambda one: -one.confidence)[:1]
    return {
        "class": [one.label for one in surest] == [toy[0]],
        "colour": namer(picture, surest) == [toy[1]],
    }


def save(network: ToyNetwork, folder: Path, widths: Sequence[int] = WIDTHS) -> None:
    folder.mkdir(exist_ok=True)
    words = {"labels": QUESTIONS["class"], "colours": QUESTIONS["colour"], "grounds": QUESTIONS["ground"]}
    config = {"side": SIDE, "widths": widths, **words}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    weights = {name: weight.half().contiguous() for name, weight in network.state_dict().items()}
    save_file(weights, folder / "model.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work_dir", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--train_batch_size", type=int, default=64)
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    args = parser.parse_args()
    crowds = Crowds.read(args.work_dir, CROWDS)
    boxes, classes, colours, grounds = map(
        torch.from_numpy, (crowds.boxes, crowds.classes, crowds.colours, crowds.grounds)
    )
    trained_on = len(classes) - CALIBRATION
    torch.manual_seed(0)
    model = ToyNetwork(WIDTHS, *(len(QUESTIONS[q]) for q in ("class", "colour", "ground")))
    model = model.to(memory_format=torch.channels_last)

    def loss(step: int) -> Tensor:
        rng, draws = stream("detector batch", step), generator(0, "detector", step)
        picked = rng.integers(trained_on, size=args.train_batch_size)
        mirror = rng.uniform(size=len(picked)) < 0.5
        shown = crowds.pictures[picked]
        shown[mirror] = shown[mirror, :, ::-1]
        with torch.autocast("cpu", torch.bfloat16):
            seen = model(spoil(pixels(shown), rng, draws))
        at = torch.from_numpy(picked)
        placed = torch.where(torch.from_numpy(mirror)[:, None, None], mirrored(boxes[at]), boxes[at])
        return detection_loss(seen, placed, classes[at], colours[at], grounds[at])

    training = Training(model, args.work_dir / "detector.safetensors", args.learning_rate, args.steps)
    training.run(loss)
    training.use_average()
    folder = args.work_dir / "detector"
    save(model, folder)
    model.calibration.copy_(calibration(ToyDetector(folder), crowds, range(trained_on, len(classes))))
    save(model, folder)
    vae = AutoencoderKL.from_pretrained(args.work_dir / "vae").eval()
    figures = measure(ToyDetector(folder), Crowds.read(args.work_dir, HELD_OUT), vae)
    (args.work_dir / "detector-figures.json").write_text(json.dumps(figures, indent=1))
    for shown, shares in figures.items():
        print(shown, {question: round(share, 3) for question, share in shares.items()})


if __name__ == "__main__":
    main()
