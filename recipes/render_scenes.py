"""Renders the generator's training scenes: pictures [n 64 64 3] uint8 and their captions.

    python recipes/render_scenes.py --work_dir runs/recipes

Named individuals come first (every name equally often), then unnamed scenes; identities are the
generator's own (seeds 0 to 199,999).
"""

from __future__ import annotations

import argparse
import json
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from apdm.toybox import captions, world
from apdm.toybox.identity import stream
from apdm.toybox.seeds import Purpose


def draw(index: int) -> captions.Described:
    names = list(captions.names())
    rng = stream("training scene", index)
    if index < len(names) * captions.VIEWS_PER_NAME:
        return captions.named_scene(rng, names[index % len(names)])
    return captions.scene(rng, Purpose.GENERATOR)


def picture(index: int) -> np.ndarray:
    return world.render(draw(index).scene)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work_dir", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--scenes", type=int, default=48_000)
    args = parser.parse_args()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    with Pool() as pool:
        pictures = np.stack(pool.map(picture, range(args.scenes), chunksize=100))
    np.save(args.work_dir / "scenes.npy", pictures)
    said = [draw(index).caption for index in range(args.scenes)]
    (args.work_dir / "captions.json").write_text(json.dumps(said))
    print(f"{args.scenes} scenes in {args.work_dir}")


if __name__ == "__main__":
    main()
