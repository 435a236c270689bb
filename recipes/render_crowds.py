"""Renders what the judges of whole scenes learn from: up to three toys, their captions, boxes and words.

    python recipes/render_crowds.py --work_dir runs/recipes

Toys are the judges' own; the held-out scenes show toys of the tuning seeds, which no training sees. Every
second picture to train on passes through the generator's autoencoder: the judges will look at generated ones.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from diffusers import AutoencoderKL

from apdm.seeding import generator
from apdm.toybox import captions, world
from apdm.toybox.identity import main_colour, stream
from apdm.toybox.seeds import Purpose
from train_identity import round_trip
from train_reader import QUESTIONS

CROWDS, HELD_OUT = "crowds", "crowds-held-out"
MOST_TOYS = 3
KINDS = ("alone", "pair", "several")
SHARES = (0.4, 0.35, 0.25)
UNSEEN = -1  # number of the class of a toy that is not there or hidden


@dataclass(frozen=True)
class Crowds:
    """n scenes. Toys come in the scene's order, from left to right, up to three; `boxes` [n 3 4] in pixels
    (left, top, right, bottom), numbers of classes and colours [n 3], of grounds [n]."""

    pictures: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    colours: np.ndarray
    grounds: np.ndarray
    captions: list[str]
    kinds: np.ndarray

    @classmethod
    def read(cls, work_dir: Path, name: str) -> Crowds:
        """What `main` has left under `name`, `CROWDS` or `HELD_OUT`."""
        stored = np.load(work_dir / f"{name}.npz")
        said = json.loads((work_dir / f"{name}.json").read_text())
        return cls(captions=said, **{field: stored[field] for field in stored.files})


def described(index: int, purpose: Purpose) -> captions.Described:
    rng = stream("crowd", purpose.name, index)
    return captions.scene(rng, purpose, KINDS[int(rng.choice(len(KINDS), p=SHARES))])


def facts(job: tuple[int, Purpose]) -> dict[str, np.ndarray]:
    """The fields of one scene, all but its caption."""
    told = described(*job)
    boxes = np.zeros((MOST_TOYS, 4), np.float32)
    classes, colours = np.full(MOST_TOYS, UNSEEN), np.full(MOST_TOYS, UNSEEN)
    for number, (placed, seen) in enumerate(zip(told.scene.toys, world.silhouettes(told.scene), strict=True)):
        if seen.any():
            rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
            boxes[number] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
            classes[number] = QUESTIONS["class"].index(placed.toy.class_noun)
            colours[number] = QUESTIONS["colour"].index(main_colour(placed.toy).word)
    return {
        "pictures": world.render(told.scene),
        "boxes": boxes,
        "classes": classes,
        "colours": colours,
        "grounds": np.array(QUESTIONS["ground"].index(told.scene.view.ground)),
        "kinds": np.array(told.kind),
    }


def render(purpose: Purpose, count: int) -> dict[str, np.ndarray]:
    with Pool() as pool:
        told = pool.map(facts, [(index, purpose) for index in range(count)], chunksize=100)
    return {field: np.stack([one[field] for one in told]) for field in told[0]}


def save(work_dir: Path, name: str, purpose: Purpose, fields: dict[str, np.ndarray]) -> None:
    np.savez(work_dir / f"{name}.npz", **fields)
    said = [described(index, purpose).caption for index in range(len(fields["kinds"]))]
    (work_dir / f"{name}.json").write_text(json.dumps(said))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work_dir", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--scenes", type=int, default=24_000)
    parser.add_argument("--held_out", type=int, default=2000)
    args = parser.parse_args()
    save(args.work_dir, HELD_OUT, Purpose.TUNING, render(Purpose.TUNING, args.held_out))
    fields = render(Purpose.JUDGES, args.scenes)
    vae = AutoencoderKL.from_pretrained(args.work_dir / "vae").eval()
    fields["pictures"][1::2] = round_trip(fields["pictures"][1::2], vae, generator(0, "crowd trips"))
    save(args.work_dir, CROWDS, Purpose.JUDGES, fields)
    print(f"{args.scenes} scenes in {args.work_dir}")


if __name__ == "__main__":
    main()
