"""Bodies: an identity as a list of coloured ellipsoids, in a frame of its own.

The toy stands on z = 0 at the origin and looks along +x; its left side is at +y. Lengths are in
toy units (a person is about 1.8 high).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apdm.toybox.identity import RGB, Animal, Car, Identity, Person, Teapot

Floats = NDArray[np.float64]

EYE: RGB = (0.05, 0.05, 0.06)
EYE_WHITE: RGB = (0.95, 0.95, 0.95)
NOSE: RGB = (0.07, 0.06, 0.07)
MOUTH: RGB = (0.65, 0.15, 0.15)
WINDOW: RGB = (0.55, 0.75, 0.90)
TYRE: RGB = (0.10, 0.10, 0.11)
LAMP: RGB = (0.98, 0.95, 0.70)
SIDES = (-1.0, 1.0)


@dataclass(frozen=True)
class Ellipsoids:
    """n ellipsoids: `centre` [n 3], `radii` [n 3], `axes` [n 3 3] (columns are the ellipsoid's own
    axes in the outer frame), `colour` [n 3] in [0, 1]."""

    centre: Floats
    radii: Floats
    axes: Floats
    colour: Floats

    def placed(self, x: float, y: float, angle: float, scale: float = 1.0) -> Ellipsoids:
        """The same body turned by `angle` (radians, about z), scaled, and moved to (x, y)."""
        turn = rotation(yaw=angle)
        centre = scale * self.centre @ turn.T + np.array([x, y, 0.0])
        return Ellipsoids(centre, scale * self.radii, turn @ self.axes, self.colour)


def rotation(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Floats:
    """Rotation matrix: `roll` about x, then `pitch` about y (positive lowers +x), then `yaw` about z."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    return about_z @ about_y @ about_x


class _Parts:
    """Collects ellipsoids one `add` at a time."""

    def __init__(self) -> None:
        self.rows: list[tuple[tuple[float, ...], tuple[float, ...], Floats, RGB]] = []

    def add(
        self,
        centre: tuple[float, float, float],
        radii: tuple[float, float, float],
        colour: RGB,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
    ) -> None:
        self.rows.append((centre, radii, rotation(yaw, pitch, roll), colour))

    def ellipsoids(self) -> Ellipsoids:
        centre, radii, axes, colour = (np.array(column) for column in zip(*self.rows, strict=True))
        return Ellipsoids(centre, radii, axes, colour)


def body(toy: Identity) -> Ellipsoids:
    """The ellipsoids of `toy` in its own frame."""
    parts = _Parts()
    match toy:
        case Animal():
            _animal(parts, toy)
        case Person():
            _person(parts, toy)
        case Car():
            _car(parts, toy)
        case Teapot():
            _teapot(parts, toy)
    return parts.ellipsoids()


def _animal(parts: _Parts, toy: Animal) -> None:
    main, second = toy.main.rgb, toy.second.rgb
    length, girth = 0.50 * toy.body_length, 0.25 * toy.body_girth
    leg = 0.24 * toy.leg_length
    spine = 2 * leg + 0.18  # height of the body's axis
    parts.add((0, 0, spine), (length, girth, girth), main)
    _coat(parts, toy, spine, length, girth)
    for front in SIDES:
        for side in SIDES:
            x, y = 0.66 * length * front, 0.55 * girth * side
            parts.add((x, y, leg + 0.04), (0.095, 0.09, leg + 0.06), main)
            paw = second if toy.socks else main
            parts.add((x + 0.03, y, 0.08), (0.125, 0.10, 0.09), paw)
    _tail(parts, toy, spine, length)
    neck = (0.92 * length, 0.0, spine + 0.20)
    parts.add(neck, (0.15, 0.145, 0.24), main, pitch=0.55)
    if toy.collar is not None:
        parts.add((neck[0] + 0.01, 0, neck[2] + 0.01), (0.205, 0.20, 0.06), toy.collar.rgb, pitch=0.55)
    _head(parts, toy, (0.92 * length + 0.16, 0.0, spine + 0.46))


def _coat(parts: _Parts, toy: Animal, spine: float, length: float, girth: float) -> None:
    """Patches are ellipsoids that rise a little out of the body."""
    second = toy.second.rgb
    if toy.coat == "patches":
        for x, side in ((-0.45, 1.0), (0.25, -1.0), (0.15, 1.0), (-0.5, -1.0)):
            parts.add(
                (x * length, 0.55 * girth * side, spine + 0.10),
                (0.36 * length, 0.55 * girth, 0.75 * girth),
                second,
            )
    elif toy.coat == "saddle":
        parts.add((-0.08 * length, 0, spine + 0.10), (0.72 * length, 0.98 * girth, 0.72 * girth), second)
    elif toy.coat == "stripes":
        for x in (-0.62, -0.22, 0.18, 0.56):
            reach = 1.04 * float(np.sqrt(1 - x * x))
            parts.add((x * length, 0, spine + 0.02), (0.055, girth * reach, girth * reach), second)


def _tail(parts: _Parts, toy: Animal, spine: float, length: float) -> None:
    reach = 0.24 * toy.tail_length
    thick = 0.06 if toy.class_noun == "dog" else 0.045
    parts.add(
        (-0.95 * length - 0.6 * reach, 0, spine + 0.12 + 0.5 * reach),
        (reach, thick, thick),
        toy.main.rgb,
        pitch=0.75,
    )
    if toy.class_noun == "cat":
        tip = (-0.95 * length - 1.25 * reach, 0.0, spine + 0.14 + 1.5 * reach)
        parts.add(tip, (0.7 * reach, thick, thick), toy.second.rgb, pitch=1.45)


def _head(parts: _Parts, toy: Animal, at: tuple[float, float, float]) -> None:
    main, second = toy.main.rgb, toy.second.rgb
    dog = toy.class_noun == "dog"
    x, _, z = at
    size = 1.2 * toy.head_size
    parts.add(at, (0.23 * size, 0.22 * size, 0.21 * size), main)
    if toy.face_patch:
        parts.add((x + 0.05, 0.11 * size, z + 0.06), (0.18 * size, 0.13 * size, 0.16 * size), second)
    snout = (0.20 if dog else 0.10) * toy.snout_length
    muzzle = second if dog and toy.ears_second else main
    parts.add(
        (x + 0.13 * size + 0.6 * snout, 0, z - 0.07), (0.08 + 0.7 * snout, 0.11 * size, 0.09 * size), muzzle
    )
    parts.add((x + 0.20 * size + 1.25 * snout, 0, z - 0.04), (0.05, 0.05, 0.04), NOSE)
    for side in SIDES:
        parts.add((x + 0.16 * size, 0.095 * size * side, z + 0.07), (0.055, 0.055, 0.055), EYE_WHITE)
        parts.add((x + 0.20 * size, 0.10 * size * side, z + 0.075), (0.035, 0.035, 0.038), EYE)
        ear = second if toy.ears_second else main
        if dog:
            parts.add(
                (x - 0.03, 0.235 * size * side, z - 0.02),
                (0.10, 0.05, 0.20 * toy.ear_size),
                ear,
                roll=0.25 * side,
            )
        else:
            parts.add(
                (x - 0.02, 0.14 * size * side, z + 0.20 * size),
                (0.045, 0.075, 0.17 * toy.ear_size),
                ear,
                roll=-0.30 * side,
            )


def _person(parts: _Parts, toy: Person) -> None:
    h, w = toy.height, toy.width
    shirt, skin, trousers = toy.shirt.rgb, toy.skin.rgb, toy.trousers.rgb
    for side in SIDES:
        parts.add((0.05, 0.13 * w * side, 0.06), (0.16, 0.08, 0.07), toy.shoes.rgb)
        parts.add((0, 0.125 * w * side, 0.36 * h), (0.115 * w, 0.11 * w, 0.34 * h), trousers)
        parts.add((0, 0.33 * w * side, 0.92 * h), (0.085, 0.085, 0.27 * h), shirt, roll=0.32 * side)
        parts.add((0.02, 0.41 * w * side, 0.65 * h), (0.07, 0.06, 0.08), skin)
    parts.add((0, 0, 0.64 * h), (0.16 * w, 0.22 * w, 0.12 * h), trousers)
    parts.add((0, 0, 0.93 * h), (0.17 * w, 0.27 * w, 0.31 * h), shirt)
    parts.add((0, 0, 1.23 * h), (0.07, 0.07, 0.08), skin)
    _face(parts, toy, 1.45 * h, 0.24 * toy.head_size)


def _face(parts: _Parts, toy: Person, z: float, r: float) -> None:
    hair = toy.hair.rgb
    parts.add((0, 0, z), (r, 0.92 * r, 1.12 * r), toy.skin.rgb)
    parts.add((-0.13 * r, 0, z + 0.32 * r), (1.05 * r, 1.04 * r, 0.95 * r), hair, pitch=-0.35)
    if toy.long_hair:
        parts.add((-0.45 * r, 0, z - 0.55 * r), (0.62 * r, 1.10 * r, 1.35 * r), hair)
    for side in SIDES:
        parts.add((0.90 * r, 0.36 * r * side, z + 0.05 * r), (0.13 * r, 0.15 * r, 0.17 * r), EYE)
        if toy.glasses:
            parts.add((0.95 * r, 0.40 * r * side, z + 0.05 * r), (0.08 * r, 0.34 * r, 0.28 * r), EYE)
            parts.add((1.00 * r, 0.40 * r * side, z + 0.05 * r), (0.08 * r, 0.22 * r, 0.18 * r), WINDOW)
    parts.add((1.0 * r, 0, z - 0.18 * r), (0.12 * r, 0.11 * r, 0.15 * r), toy.skin.rgb)
    parts.add((0.90 * r, 0, z - 0.52 * r), (0.10 * r, 0.32 * r, 0.09 * r), MOUTH)
    if toy.hat is not None:
        parts.add((0.05 * r, 0, z + 0.72 * r), (1.45 * r, 1.40 * r, 0.13 * r), toy.hat.rgb, pitch=-0.12)
        parts.add((-0.05 * r, 0, z + 1.02 * r), (0.92 * r, 0.92 * r, 0.62 * r), toy.hat.rgb, pitch=-0.12)


def _car(parts: _Parts, toy: Car) -> None:
    main, length, r = toy.main.rgb, 0.80 * toy.length, 0.19 * toy.wheel_size
    base = r + 0.14
    parts.add((0, 0, base), (length, 0.40, 0.22), main)
    parts.add((0.35 * length, 0, base - 0.01), (0.66 * length, 0.39, 0.20), main)
    parts.add((-0.35 * length, 0, base - 0.01), (0.66 * length, 0.39, 0.21), main)
    if toy.stripe is not None:
        parts.add((0, 0, base + 0.03), (1.005 * length, 0.13, 0.235), toy.stripe.rgb)
    top = base + 0.20
    rise = 0.24 * toy.roof_height
    parts.add((toy.roof_offset, 0, top + 0.02), (0.48 * length, 0.33, rise), WINDOW)
    parts.add((toy.roof_offset, 0, top + 0.50 * rise), (0.40 * length, 0.30, 0.62 * rise), toy.roof.rgb)
    for side in SIDES:
        for front in SIDES:
            x = 0.56 * length * front
            parts.add((x, 0.34 * side, r), (r, 0.10, r), TYRE)
            parts.add((x, 0.41 * side, r), (0.58 * r, 0.06, 0.58 * r), toy.wheels.rgb)
        parts.add((0.90 * length, 0.22 * side, base + 0.03), (0.07, 0.07, 0.06), LAMP)


def _teapot(parts: _Parts, toy: Teapot) -> None:
    main, r, h = toy.main.rgb, 0.46 * toy.girth, 0.42 * toy.height
    z = h + 0.02
    parts.add((0, 0, z), (r, r, h), main)
    parts.add((0, 0, 0.06), (0.62 * r, 0.62 * r, 0.08), main)
    if toy.band is not None:
        parts.add((0, 0, z), (1.035 * r, 1.035 * r, 0.26 * h), toy.band.rgb)
    parts.add((0, 0, z + 0.86 * h), (0.60 * r, 0.60 * r, 0.30 * h), toy.lid.rgb)
    parts.add((0, 0, z + 1.28 * h), (0.10, 0.10, 0.10), toy.lid.rgb)
    reach = 0.26 * toy.spout_length
    parts.add((r + 0.55 * reach, 0, z + 0.12), (reach + 0.10, 0.085, 0.085), toy.spout.rgb, pitch=-0.70)
    parts.add((r + 1.25 * reach, 0, z + 0.16 + 0.62 * reach), (0.09, 0.075, 0.06), toy.spout.rgb, pitch=-0.25)
    ring = 0.26 * toy.handle_size
    for step in range(6):
        angle = np.pi * (0.18 + 0.64 * step / 5)
        x = -0.92 * r - 1.25 * ring * float(np.sin(angle))
        height = z + 1.25 * ring * float(np.cos(angle))
        parts.add((x, 0, height), (0.075, 0.06, 0.13), main, pitch=np.pi / 2 - angle)
