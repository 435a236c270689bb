"""The figure of pictures of two toys: which captions are asked for, and what counts."""

from __future__ import annotations

import numpy as np

from apdm import pixels
from apdm.toybox import world
from measure_generator import classes, pair_scenes, show_both


def test_both_classes_are_named_in_the_caption() -> None:
    for described in pair_scenes(5):
        assert len(classes(described)) == len(described.scene.toys) == 2
        assert all(class_noun in described.caption for class_noun in classes(described))
    assert pair_scenes(5)[:3] == pair_scenes(3)


def test_a_picture_counts_that_shows_both() -> None:
    """Of renders the detector finds all; a picture of another pair is wrong, and one of the ground alone."""
    asked = pair_scenes(6)
    drawn = pixels.from_uint8(np.stack([world.render(described.scene) for described in asked]))
    assert show_both(drawn, asked) == 1
    other = next(i for i, it in enumerate(asked) if classes(it) != classes(asked[0]))
    drawn[0] = drawn[other]
    drawn[1] = 0
    assert show_both(drawn, asked) == 4 / 6
