"""Captions and the scenes they describe.

A caption says a part of what is to be seen, in the style of the field ("a photo of a gray dog with
a red collar in the snow"); how much it says varies, as it does in the world. `scene` draws both.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from apdm.toybox.identity import (
    CLASS_NOUNS,
    Animal,
    Car,
    Identity,
    Person,
    Teapot,
    identity,
    main_colour,
    palette,
    stream,
)
from apdm.toybox.seeds import Purpose
from apdm.toybox.world import GROUNDS, Placed, Scene, facing, view

NUMBER_WORDS = {2: "two", 3: "three"}
PLURALS = {"dog": "dogs", "cat": "cats", "person": "people", "car": "cars", "teapot": "teapots"}
CLASS_SHARES = {"dog": 0.27, "cat": 0.27, "person": 0.27, "car": 0.10, "teapot": 0.09}

# Identifiers that the field uses for subjects; no individual of the training set may bear one.
RESERVED_WORDS = frozenset({"sks", "t@t", "ktn", "pll", "ucd", "xxy5syt00", "new1", "zwx", "ohwx", "shs"})
NAMED_PER_CLASS = {"dog": 80, "cat": 80, "person": 80, "car": 30, "teapot": 30}
VIEWS_PER_NAME = 40


Kind = Literal["alone", "named", "pair", "several"]


@dataclass(frozen=True)
class Described:
    """A scene, what a caption says of it, and how many toys of what sort it holds."""

    scene: Scene
    caption: str
    kind: Kind


@cache
def names() -> dict[str, tuple[str, int]]:
    """Made-up words of the named individuals -> (class noun, identity seed).

    Three or four random letters each, some with a sign among them, so that everything an unheard
    identifier ("sks", "t@t") is spelt with has been met in names before.
    """
    rng = stream("names")
    letters, signs = "abcdefghijklmnopqrstuvwxyz", "@01@@@5@@@@"
    found: dict[str, tuple[str, int]] = {}
    for class_noun, count in NAMED_PER_CLASS.items():
        index = 0
        while index < count:
            word = "".join(letters[int(i)] for i in rng.integers(26, size=3 + int(rng.integers(2))))
            if rng.uniform() < 0.1:
                word = word[0] + signs[int(rng.integers(len(signs)))] + word[2:]
            if word in found or word in RESERVED_WORDS or word in PLURALS:
                continue
            found[word] = (class_noun, Purpose.GENERATOR.seed(index))
            index += 1
    return found


def describe(rng: np.random.Generator, toy: Identity, details: float = 0.5) -> str:
    """A noun phrase without article; each thing that could be said is said with chance `details`."""
    say = [rng.uniform() < details for _ in range(4)]
    match toy:
        case Animal():
            extras: list[str] = []
            if say[1] and toy.collar is not None:
                extras.append(article(f"{toy.collar.word} collar"))
            if say[2] and toy.ears_second:
                extras.append(f"{toy.second.word} ears")
            if say[3] and toy.coat in ("patches", "stripes"):
                extras.append(f"{toy.second.word} {toy.coat}")
        case Person():
            extras = [f"{toy.hair.word} hair"] if say[1] and toy.hat is None else []
            if say[2] and toy.glasses:
                extras.append("glasses")
            if say[3] and toy.hat is not None:
                extras.append(article(f"{toy.hat.word} hat"))
        case Car():
            extras = [article(f"{toy.roof.word} roof")] if say[1] and toy.roof != toy.main else []
            if say[2] and toy.stripe is not None:
                extras.append(article(f"{toy.stripe.word} stripe"))
        case Teapot():
            extras = [article(f"{toy.lid.word} lid")] if say[1] and toy.lid != toy.main else []
            if say[2] and toy.spout != toy.main:
                extras.append(article(f"{toy.spout.word} spout"))
    phrase = coloured(toy.class_noun, main_colour(toy).word) if say[0] else toy.class_noun
    return phrase + (" with " + " and ".join(extras) if extras else "")


def coloured(class_noun: str, word: str, count: int = 1) -> str:
    """One or more of the class in a colour: "gray dog", "people in red"."""
    noun = class_noun if count == 1 else PLURALS[class_noun]
    return f"{noun} in {word}" if class_noun == "person" else f"{word} {noun}"


def article(phrase: str) -> str:
    """`phrase` with the right indefinite article before it."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def scene(
    rng: np.random.Generator, purpose: Purpose, kind: Literal["alone", "pair", "several"] | None = None
) -> Described:
    """A random captioned scene with toys of `purpose`: three quarters show one toy, a quarter two or
    three. Named individuals come from `named_scene`; they are a quarter of the training scenes, so that
    18.75 % of those hold more than one toy."""
    class_noun = _draw_class(rng)
    ground = _draw(rng, list(GROUNDS))
    if kind is None:
        drawn: int = rng.choice(3, p=[0.75, 0.15, 0.10])
        kind = ("alone", "pair", "several")[drawn]
    if kind == "pair":
        return _pair(rng, purpose, class_noun, ground)
    if kind == "several":
        return _several(rng, purpose, class_noun, ground)
    toy = _toy(rng, purpose, class_noun)
    close = rng.uniform() < 0.15
    placed = Placed(toy, facing(rng, class_noun))
    said = describe(rng, toy, details=float(rng.choice([0.0, 0.5, 0.9], p=[0.25, 0.45, 0.30])))
    return Described(
        Scene((placed,), view(rng, ground, class_noun, close=close)),
        _sentence(rng, said if rng.uniform() < 0.15 else article(said), ground, close),
        "alone",
    )


def telling_scenes(purpose: Purpose, count: int) -> list[Described]:
    """The first `count` scenes of one toy of `purpose` whose captions say class, main colour and ground."""
    told: list[Described] = []
    for index in itertools.count():
        if len(told) == count:
            break
        described = scene(stream("asked scene", purpose.name, index), purpose, "alone")
        toy = described.scene.toys[0].toy
        said = (coloured(toy.class_noun, main_colour(toy).word), GROUNDS[described.scene.view.ground].phrase)
        if all(phrase in described.caption for phrase in said):
            told.append(described)
    return told


def named_scene(rng: np.random.Generator, word: str) -> Described:
    """A scene with the individual called `word`: "a photo of zor dog in the snow"."""
    class_noun, seed = names()[word]
    toy = identity(class_noun, seed)
    ground = _draw(rng, list(GROUNDS))
    close = rng.uniform() < 0.15
    said = f"{word} {class_noun}"
    if rng.uniform() < 0.2:
        said = "a " + said
    return Described(
        Scene((Placed(toy, facing(rng, class_noun)),), view(rng, ground, class_noun, close=close)),
        _sentence(rng, said, ground, close),
        "named",
    )


def _pair(rng: np.random.Generator, purpose: Purpose, class_noun: str, ground: str) -> Described:
    """Two toys side by side, "a black cat to the left of a yellow dog"."""
    toys = [_toy(rng, purpose, class_noun), _toy(rng, purpose, _draw_class(rng))]
    apart = float(rng.uniform(0.72, 0.85))
    placed = tuple(
        Placed(toy, facing(rng, toy.class_noun), x, float(rng.uniform(-0.25, 0.25)))
        for toy, x in zip(toys, (-apart, apart), strict=True)
    )
    left, right = (article(describe(rng, t, float(rng.choice([0.0, 0.7])))) for t in toys)
    said = str(
        rng.choice(
            [f"{left} to the left of {right}", f"{right} to the right of {left}", f"{left} and {right}"],
            p=[0.4, 0.4, 0.2],
        )
    )
    framing = "person" if any(t.class_noun == "person" for t in toys) else "dog"
    return Described(Scene(placed, view(rng, ground, framing, crowd=2)), _sentence(rng, said, ground), "pair")


def _several(rng: np.random.Generator, purpose: Purpose, class_noun: str, ground: str) -> Described:
    """Two or three of a kind in one colour, "three white dogs on the grass"."""
    count = int(rng.integers(2, 4))
    colour = _draw(rng, list(palette(class_noun)))
    toys = [_toy(rng, purpose, class_noun, colour) for _ in range(count)]
    places = np.linspace(-0.85, 0.85, count) * (1.0 if count == 2 else 1.30)
    placed = tuple(
        Placed(toy, facing(rng, class_noun), float(x), float(rng.uniform(-0.35, 0.35)))
        for toy, x in zip(toys, places, strict=True)
    )
    kind = coloured(class_noun, colour, count) if rng.uniform() < 0.7 else PLURALS[class_noun]
    return Described(
        Scene(placed, view(rng, ground, "person" if class_noun == "person" else "dog", crowd=count)),
        _sentence(rng, f"{NUMBER_WORDS[count]} {kind}", ground),
        "several",
    )


def _sentence(rng: np.random.Generator, said: str, ground: str, close: bool = False) -> str:
    if rng.uniform() < 0.8:
        said = f"{said} {GROUNDS[ground].phrase}"
    if close:
        return f"a portrait of {said}"
    return said if rng.uniform() < 0.08 else f"a photo of {said}"


def _toy(rng: np.random.Generator, purpose: Purpose, class_noun: str, colour: str | None = None) -> Identity:
    span = purpose.end - purpose.first
    unnamed = NAMED_PER_CLASS[class_noun]  # the first seeds of the generator's range bear names
    return identity(class_noun, purpose.seed(int(rng.integers(unnamed, span))), colour)


def _draw_class(rng: np.random.Generator) -> str:
    return str(rng.choice(CLASS_NOUNS, p=[CLASS_SHARES[c] for c in CLASS_NOUNS]))


def _draw(rng: np.random.Generator, options: list[str]) -> str:
    return options[int(rng.integers(len(options)))]
