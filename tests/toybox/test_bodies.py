"""Bodies: geometry by arithmetic, and what every toy's must have."""

from __future__ import annotations

import dataclasses
from math import cos, pi, sin

import numpy as np
import pytest

from apdm.toybox.bodies import Ellipsoids, body, rotation
from apdm.toybox.identity import CLASS_NOUNS, Colour, Identity, identity

MARK = Colour("mark", (0.123, 0.456, 0.789))
TOYS = [identity(noun, seed) for noun in CLASS_NOUNS for seed in range(400_000, 400_020)]


def has_mark(toy: Identity) -> bool:
    return bool((body(toy).colour == MARK.rgb).all(1).any())


def test_rotations_by_arithmetic() -> None:
    x, y, z = np.eye(3)
    assert rotation() == pytest.approx(np.eye(3))
    assert rotation(yaw=pi / 2) @ x == pytest.approx(y)
    assert rotation(pitch=pi / 2) @ x == pytest.approx(-z)  # positive lowers +x
    assert rotation(roll=pi / 2) @ y == pytest.approx(z)
    assert rotation(yaw=0.3) @ x == pytest.approx([cos(0.3), sin(0.3), 0])


def test_roll_comes_first_then_pitch_then_yaw() -> None:
    steps = rotation(yaw=0.4) @ rotation(pitch=0.5) @ rotation(roll=0.6)
    assert rotation(0.4, 0.5, 0.6) == pytest.approx(steps)


def test_a_placed_body_is_turned_scaled_and_moved() -> None:
    one = Ellipsoids(np.array([[1.0, 0, 0.5]]), np.array([[3.0, 2, 1]]), np.eye(3)[None], np.zeros((1, 3)))
    placed = one.placed(10, 20, pi / 2, scale=2)
    assert placed.centre[0] == pytest.approx([10, 22, 1])
    assert placed.radii[0] == pytest.approx([6, 4, 2])
    assert placed.axes[0] @ [1, 0, 0] == pytest.approx([0, 1, 0])  # its own x axis points to y now
    assert placed.colour is one.colour


@pytest.mark.parametrize("noun", CLASS_NOUNS)
def test_bodies_are_well_formed(noun: str) -> None:
    for toy in (t for t in TOYS if t.class_noun == noun):
        parts = body(toy)
        count = len(parts.centre)
        assert parts.centre.shape == parts.radii.shape == parts.colour.shape == (count, 3)
        gram = parts.axes @ parts.axes.transpose(0, 2, 1)
        assert np.abs(gram - np.eye(3)).max() < 1e-9
        assert parts.radii.min() > 0.01
        assert parts.colour.min() >= 0
        assert parts.colour.max() <= 1


@pytest.mark.parametrize(
    ("noun", "low", "high"),
    [("dog", 0.9, 1.8), ("cat", 0.9, 1.8), ("person", 1.4, 2.3), ("car", 0.6, 1.2), ("teapot", 0.8, 1.6)],
)
def test_toys_stand_on_the_ground_and_have_a_toys_height(noun: str, low: float, high: float) -> None:
    for toy in (t for t in TOYS if t.class_noun == noun):
        parts = body(toy)
        reach = np.sqrt(((parts.axes[:, 2, :] * parts.radii) ** 2).sum(1))  # of an ellipsoid along z
        assert -0.05 < (parts.centre[:, 2] - reach).min() < 0.05
        assert low < (parts.centre[:, 2] + reach).max() < high


@pytest.mark.parametrize("noun", CLASS_NOUNS)
def test_left_and_right_mirror_each_other(noun: str) -> None:
    """But for an animal's patches."""
    for toy in (t for t in TOYS if t.class_noun == noun):
        plain = dataclasses.replace(toy, coat="plain", face_patch=False) if noun in ("dog", "cat") else toy
        centre = body(plain).centre
        mirrored = centre * [1, -1, 1]
        assert sorted(map(tuple, centre.round(9) + 0.0)) == sorted(map(tuple, mirrored.round(9) + 0.0))


COLOURS = {
    "dog": ("main", "second", "collar"),
    "cat": ("main", "second", "collar"),
    "person": ("shirt", "trousers", "shoes", "skin", "hair", "hat"),
    "car": ("main", "roof", "stripe", "wheels"),
    "teapot": ("main", "lid", "band", "spout"),
}


@pytest.mark.parametrize(("noun", "part"), [(noun, part) for noun in COLOURS for part in COLOURS[noun]])
def test_every_colour_is_worn(noun: str, part: str) -> None:
    toy = identity(noun, 400_000)
    if part == "second":
        toy = dataclasses.replace(toy, ears_second=True)
    assert has_mark(dataclasses.replace(toy, **{part: MARK}))


@pytest.mark.parametrize(
    ("noun", "flag", "off", "on"),
    [
        ("dog", "collar", None, MARK),
        ("dog", "coat", "plain", "patches"),
        ("dog", "coat", "plain", "saddle"),
        ("dog", "face_patch", False, True),
        ("cat", "coat", "plain", "stripes"),
        ("person", "glasses", False, True),
        ("person", "long_hair", False, True),
        ("person", "hat", None, MARK),
        ("car", "stripe", None, MARK),
        ("teapot", "band", None, MARK),
    ],
)
def test_every_flag_adds_something(noun: str, flag: str, off: object, on: object) -> None:
    toy = identity(noun, 400_000)
    without, with_it = (body(dataclasses.replace(toy, **{flag: value})) for value in (off, on))
    assert len(with_it.centre) > len(without.centre)


@pytest.mark.parametrize("noun", ["dog", "cat"])
@pytest.mark.parametrize("flag", ["socks", "ears_second"])
def test_socks_and_ears_take_the_second_colour(noun: str, flag: str) -> None:
    bare = {"socks": False, "ears_second": False, "face_patch": False, "coat": "plain", "second": MARK}
    toy = dataclasses.replace(identity(noun, 400_000), **bare)
    with_it = dataclasses.replace(toy, **{flag: True})
    gained = (body(with_it).colour == MARK.rgb).all(1).sum() - (body(toy).colour == MARK.rgb).all(1).sum()
    assert gained >= (4 if flag == "socks" else 2)


@pytest.mark.parametrize("noun", CLASS_NOUNS)
def test_every_factor_shapes_the_body(noun: str) -> None:
    toy = identity(noun, 400_000)
    factors = [field.name for field in dataclasses.fields(toy) if isinstance(getattr(toy, field.name), float)]
    assert len(factors) >= 3
    for factor in factors:
        longer = body(dataclasses.replace(toy, **{factor: getattr(toy, factor) + 0.2}))
        same = [
            np.array_equal(getattr(longer, part), getattr(body(toy), part)) for part in ("centre", "radii")
        ]
        assert not all(same), factor
