"""`apdm toybox render|sample`: toys as pictures, with no model at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apdm.cli.arguments import read
from apdm.errors import InputError, at_least

EXAMPLE = "apdm toybox render --class_noun dog --seed 500001 --views 8 --output_dir runs/dog"


@dataclass(frozen=True)
class Render:
    """Views of one toy: CLASS_0000N.png, and beside each a .txt with a caption."""

    class_noun: str
    """dog, cat, person, car or teapot."""
    seed: int
    """Which toy of that class; seeds from 500000 on are used by nothing in this project."""
    output_dir: Path
    """Where the pictures go; must be new or empty."""
    views: int = 8
    """How many; view N is the same for everybody."""


@dataclass(frozen=True)
class Sample:
    """Random captioned scenes as the toy model was trained on, of tuning toys."""

    output_dir: Path
    """Where the pictures go; must be new or empty."""
    count: int = 16
    """How many scenes."""
    seed: int = 0
    """Which scenes."""


def main(arguments: Sequence[str]) -> None:
    verbs = {"render": (Render, _render), "sample": (Sample, _sample)}
    if not arguments or arguments[0] not in verbs:
        if arguments and arguments[0] in ("-h", "--help"):
            print(f"usage: apdm toybox render|sample [options]\n\nExample: {EXAMPLE}")
            return
        raise InputError("say what the Toybox should do", fix="use 'render' or 'sample'")
    kind, run = verbs[arguments[0]]
    example = EXAMPLE if kind is Render else "apdm toybox sample --count 16 --output_dir runs/scenes"
    run(read(kind, f"toybox {arguments[0]}", arguments[1:], example))  # pyright: ignore[reportArgumentType]


def _render(wanted: Render) -> None:
    at_least(wanted, views=1)
    from apdm.cli.options import new_folder
    from apdm.toybox import captions, identity, world

    toy = identity.identity(wanted.class_noun, wanted.seed)
    folder = new_folder(wanted.output_dir)
    scenes = [world.portrait(toy, wanted.seed, index) for index in range(wanted.views)]
    said = [
        f"a photo of {captions.article(captions.describe(rng, toy))} {world.GROUNDS[s.view.ground].phrase}"
        for index, s in enumerate(scenes)
        for rng in [identity.stream("portrait caption", wanted.class_noun, wanted.seed, index)]
    ]
    _write([world.render(s) for s in scenes], said, folder, wanted.class_noun)
    print(f"{wanted.views} views of {wanted.class_noun} {wanted.seed} in {folder}")


def _sample(wanted: Sample) -> None:
    at_least(wanted, count=1)
    from apdm.cli.options import new_folder
    from apdm.toybox import captions, identity, world
    from apdm.toybox.seeds import Purpose

    folder = new_folder(wanted.output_dir)
    described = [
        captions.scene(identity.stream("sampled scene", wanted.seed, index), Purpose.TUNING)
        for index in range(wanted.count)
    ]
    pictures = [world.render(d.scene) for d in described]
    _write(pictures, [d.caption for d in described], folder, "scene")
    print(f"{wanted.count} scenes in {folder}")


def _write(pictures: Sequence[NDArray[np.uint8]], captions: Sequence[str], folder: Path, stem: str) -> None:
    from apdm.pixels import from_uint8, save_png

    paths = save_png(from_uint8(np.stack(pictures)), folder, stem)
    for path, caption in zip(paths, captions, strict=True):
        path.with_suffix(".txt").write_text(caption + "\n")
