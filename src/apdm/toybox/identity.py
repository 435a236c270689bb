"""Identities: the parameters that make one toy differ from all others of its class.

Everything about a toy that does not depend on how it is looked at lives here. Colours carry the
word a caption may use for them and a shade of their own, so two "gray" dogs are still two dogs.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from apdm.errors import InputError

RGB = tuple[float, float, float]

FUR: dict[str, RGB] = {
    "black": (0.10, 0.10, 0.12),
    "white": (0.93, 0.92, 0.90),
    "gray": (0.50, 0.52, 0.55),
    "brown": (0.42, 0.24, 0.12),
    "yellow": (0.90, 0.76, 0.38),
    "orange": (0.88, 0.46, 0.14),
}
PAINT: dict[str, RGB] = {
    "red": (0.80, 0.10, 0.10),
    "blue": (0.13, 0.27, 0.78),
    "green": (0.12, 0.55, 0.22),
    "yellow": (0.95, 0.80, 0.12),
    "white": (0.94, 0.94, 0.94),
    "black": (0.09, 0.09, 0.10),
    "orange": (0.95, 0.48, 0.08),
    "purple": (0.48, 0.17, 0.62),
    "pink": (0.95, 0.52, 0.68),
}
HAIR: dict[str, RGB] = {
    "black": (0.08, 0.07, 0.07),
    "brown": (0.36, 0.20, 0.09),
    "blond": (0.90, 0.76, 0.40),
    "gray": (0.62, 0.62, 0.64),
    "red": (0.70, 0.25, 0.08),
}
SKIN: dict[str, RGB] = {
    "light": (0.95, 0.78, 0.66),
    "tan": (0.83, 0.62, 0.45),
    "brown": (0.58, 0.38, 0.25),
    "dark": (0.36, 0.23, 0.16),
}

SHADE = 0.05  # how far a toy's own shade may lie from the palette's, per channel


@dataclass(frozen=True)
class Colour:
    """A caption's word for a colour and the exact shade, RGB in [0, 1]."""

    word: str
    rgb: RGB


@dataclass(frozen=True)
class Animal:
    """A dog or a cat. Lengths and sizes are factors around 1; flags switch parts on."""

    class_noun: str
    main: Colour
    second: Colour
    collar: Colour | None
    coat: str  # "plain", "patches", "saddle", "stripes"
    ears_second: bool
    socks: bool
    face_patch: bool
    body_length: float
    body_girth: float
    leg_length: float
    head_size: float
    snout_length: float
    ear_size: float
    tail_length: float


@dataclass(frozen=True)
class Person:
    """A person; clothes and hair are part of the identity, as with a doll."""

    class_noun: str
    shirt: Colour
    trousers: Colour
    shoes: Colour
    skin: Colour
    hair: Colour
    long_hair: bool
    glasses: bool
    hat: Colour | None
    height: float
    width: float
    head_size: float


@dataclass(frozen=True)
class Car:
    """A toy car."""

    class_noun: str
    main: Colour
    roof: Colour
    stripe: Colour | None
    wheels: Colour
    length: float
    roof_height: float
    roof_offset: float
    wheel_size: float


@dataclass(frozen=True)
class Teapot:
    """A teapot."""

    class_noun: str
    main: Colour
    lid: Colour
    band: Colour | None
    spout: Colour
    girth: float
    height: float
    spout_length: float
    handle_size: float


Identity = Animal | Person | Car | Teapot

CLASS_NOUNS = ("dog", "cat", "person", "car", "teapot")


def stream(*keys: str | int) -> np.random.Generator:
    """A random stream of its own for `keys`, equal on every machine (PCG64 over their values)."""
    words = [zlib.crc32(key.encode()) if isinstance(key, str) else key for key in keys]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def identity(class_noun: str, seed: int, main_colour: str | None = None) -> Identity:
    """The toy of class `class_noun` with this `seed`; `main_colour` overrules its main colour.

    Raises `InputError` for a class or colour the Toybox does not have or a negative seed.
    """
    if class_noun not in CLASS_NOUNS:
        raise InputError(
            f"the Toybox has no class '{class_noun}'", fix=f"use one of {', '.join(CLASS_NOUNS)}"
        )
    if seed < 0:
        raise InputError(f"identity seed {seed} is negative", fix="use 0 or more")
    if main_colour is not None and main_colour not in palette(class_noun):
        raise InputError(
            f"a {class_noun} cannot be {main_colour}", fix=f"use one of {', '.join(palette(class_noun))}"
        )
    rng = stream("identity", class_noun, seed)
    if class_noun == "person":
        return _person(rng, main_colour)
    if class_noun == "car":
        return _car(rng, main_colour)
    if class_noun == "teapot":
        return _teapot(rng, main_colour)
    return _animal(rng, class_noun, main_colour)


def main_colour(toy: Identity) -> Colour:
    """The colour a caption names first: fur, paint, or a person's shirt."""
    return toy.shirt if isinstance(toy, Person) else toy.main


def palette(class_noun: str) -> dict[str, RGB]:
    """The colours that `main_colour` can take in this class."""
    return FUR if class_noun in ("dog", "cat") else PAINT


def _colour(
    rng: np.random.Generator,
    colours: dict[str, RGB],
    other_than: str | None = None,
    word: str | None = None,
) -> Colour:
    words = [w for w in colours if w != other_than]
    drawn = words[int(rng.integers(len(words)))]
    word = word or drawn
    shade = rng.uniform(-SHADE, SHADE, 3)
    r, g, b = (min(max(c + float(s), 0.02), 0.98) for c, s in zip(colours[word], shade, strict=True))
    return Colour(word, (r, g, b))


def _flag(rng: np.random.Generator, probability: float) -> bool:
    return bool(rng.uniform() < probability)


def _factor(rng: np.random.Generator, spread: float) -> float:
    return float(rng.uniform(1 - spread, 1 + spread))


def _animal(rng: np.random.Generator, class_noun: str, word: str | None) -> Animal:
    main = _colour(rng, FUR, word=word)
    coats = ("plain", "patches", "saddle") if class_noun == "dog" else ("plain", "patches", "stripes")
    return Animal(
        class_noun=class_noun,
        main=main,
        second=_colour(rng, FUR, other_than=main.word),
        collar=_colour(rng, PAINT) if _flag(rng, 0.7) else None,
        coat=coats[int(rng.integers(3))],
        ears_second=_flag(rng, 0.5),
        socks=_flag(rng, 0.35),
        face_patch=_flag(rng, 0.35),
        body_length=_factor(rng, 0.18),
        body_girth=_factor(rng, 0.15),
        leg_length=_factor(rng, 0.25),
        head_size=_factor(rng, 0.15),
        snout_length=_factor(rng, 0.3),
        ear_size=_factor(rng, 0.3),
        tail_length=_factor(rng, 0.3),
    )


def _person(rng: np.random.Generator, word: str | None) -> Person:
    return Person(
        class_noun="person",
        shirt=_colour(rng, PAINT, word=word),
        trousers=_colour(rng, PAINT),
        shoes=_colour(rng, PAINT),
        skin=_colour(rng, SKIN),
        hair=_colour(rng, HAIR),
        long_hair=_flag(rng, 0.5),
        glasses=_flag(rng, 0.4),
        hat=_colour(rng, PAINT) if _flag(rng, 0.4) else None,
        height=_factor(rng, 0.10),
        width=_factor(rng, 0.18),
        head_size=_factor(rng, 0.12),
    )


def _car(rng: np.random.Generator, word: str | None) -> Car:
    main = _colour(rng, PAINT, word=word)
    return Car(
        class_noun="car",
        main=main,
        roof=_colour(rng, PAINT) if _flag(rng, 0.6) else main,
        stripe=_colour(rng, PAINT, other_than=main.word) if _flag(rng, 0.5) else None,
        wheels=_colour(rng, {"black": PAINT["black"], "gray": FUR["gray"], "white": PAINT["white"]}),
        length=_factor(rng, 0.15),
        roof_height=_factor(rng, 0.25),
        roof_offset=float(rng.uniform(-0.2, 0.1)),
        wheel_size=_factor(rng, 0.2),
    )


def _teapot(rng: np.random.Generator, word: str | None) -> Teapot:
    main = _colour(rng, PAINT, word=word)
    return Teapot(
        class_noun="teapot",
        main=main,
        lid=_colour(rng, PAINT) if _flag(rng, 0.6) else main,
        band=_colour(rng, PAINT, other_than=main.word) if _flag(rng, 0.5) else None,
        spout=_colour(rng, PAINT) if _flag(rng, 0.4) else main,
        girth=_factor(rng, 0.15),
        height=_factor(rng, 0.2),
        spout_length=_factor(rng, 0.25),
        handle_size=_factor(rng, 0.2),
    )
