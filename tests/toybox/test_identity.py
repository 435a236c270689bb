"""Identities come from their seeds and are all different."""

from __future__ import annotations

import dataclasses

import pytest

from apdm.errors import InputError
from apdm.toybox.identity import (
    CLASS_NOUNS,
    FUR,
    HAIR,
    PAINT,
    SHADE,
    SKIN,
    Animal,
    Colour,
    Identity,
    Person,
    identity,
    main_colour,
    palette,
    stream,
)

STREAM = [323242848, 883717151, 420651158]
# The words of a toy's colours in their order, and its last factor.
IDENTITIES = {
    "dog": ("orange gray", 0.715471),
    "cat": ("yellow gray pink", 0.953792),
    "person": ("orange blue yellow dark blond pink", 0.885626),
    "car": ("black orange blue black", 0.819975),
    "teapot": ("red red red", 1.134604),
}
ALL = [(noun, seed) for noun in CLASS_NOUNS for seed in range(450_000, 450_100)]


def colours(toy: Identity) -> dict[str, Colour]:
    values = {field.name: getattr(toy, field.name) for field in dataclasses.fields(toy)}
    return {name: value for name, value in values.items() if isinstance(value, Colour)}


def test_there_are_five_classes() -> None:
    assert CLASS_NOUNS == ("dog", "cat", "person", "car", "teapot")
    assert [identity(noun, 0).class_noun for noun in CLASS_NOUNS] == list(CLASS_NOUNS)


def test_streams_are_the_same_on_every_machine() -> None:
    assert stream("portrait", "dog", 7).integers(10**9, size=3).tolist() == STREAM
    assert stream("portrait", 7, "dog").integers(10**9) != STREAM[0]


@pytest.mark.parametrize("noun", CLASS_NOUNS)
def test_identities_are_the_same_on_every_machine(noun: str) -> None:
    toy = identity(noun, 450_000)
    words = " ".join(colour.word for colour in colours(toy).values())
    last = getattr(toy, dataclasses.fields(toy)[-1].name)
    assert (words, round(last, 6)) == IDENTITIES[noun]


def test_an_identity_depends_on_its_seed_only() -> None:
    assert [identity(*key) for key in ALL] == [identity(*key) for key in reversed(ALL)][::-1]


def test_no_two_toys_are_alike() -> None:
    assert len({identity(*key) for key in ALL}) == len(ALL) == 500


def test_classes_do_not_share_their_draws() -> None:
    pairs = [(identity("dog", seed), identity("cat", seed)) for seed in range(50)]
    assert not any(main_colour(dog).rgb == main_colour(cat).rgb for dog, cat in pairs)


def test_shades_lie_near_the_colour_they_are_called() -> None:
    """Paint, but for an animal's coat, a person's skin and hair, and a car's gray wheels."""
    checked = 0
    for key in ALL:
        toy = identity(*key)
        of_field = {"skin": SKIN, "hair": HAIR, "wheels": PAINT | FUR}
        if isinstance(toy, Animal):
            of_field |= {"main": FUR, "second": FUR}
        for name, colour in colours(toy).items():
            called = of_field.get(name, PAINT)[colour.word]
            far = max(abs(mine - named) for mine, named in zip(colour.rgb, called, strict=True))
            assert far <= SHADE + 0.05 * (name == "wheels") + 1e-9, (key, name, colour)
            assert all(0.02 <= part <= 0.98 for part in colour.rgb)
            checked += 1
    assert checked > 1500


@pytest.mark.parametrize(
    ("noun", "part"), [("dog", "second"), ("cat", "second"), ("car", "stripe"), ("teapot", "band")]
)
def test_a_second_colour_is_another_one(noun: str, part: str) -> None:
    toys = [identity(noun, seed) for seed in range(200)]
    seconds = [(main_colour(toy).word, getattr(toy, part).word) for toy in toys if getattr(toy, part)]
    assert len(seconds) > 50
    assert all(main != second for main, second in seconds)


@pytest.mark.parametrize("noun", CLASS_NOUNS)
def test_every_flag_is_drawn_both_ways_and_every_factor_lies_around_one(noun: str) -> None:
    toys = [identity(noun, seed) for seed in range(200)]
    for field in dataclasses.fields(toys[0]):
        values = [getattr(toy, field.name) for toy in toys]
        if isinstance(values[0], bool):
            assert {True, False} == set(values), field.name
        elif isinstance(values[0], float) and field.name != "roof_offset":
            assert 0.65 < min(values) < 0.95 < 1.05 < max(values) < 1.35, field.name


def test_coats_belong_to_their_class() -> None:
    coats = {noun: {vars(identity(noun, seed))["coat"] for seed in range(100)} for noun in ("dog", "cat")}
    assert coats == {"dog": {"plain", "patches", "saddle"}, "cat": {"plain", "patches", "stripes"}}


@pytest.mark.parametrize("noun", CLASS_NOUNS)
def test_the_main_colour_can_be_asked_for(noun: str) -> None:
    for seed in range(20):
        free, white = identity(noun, seed), identity(noun, seed, "white")
        assert main_colour(white).word == "white"
        assert "white" in palette(noun)
        follow = {"main", "shirt", "second", "roof", "lid", "spout", "stripe", "band"}
        for field in dataclasses.fields(free):
            if field.name not in follow:
                assert getattr(free, field.name) == getattr(white, field.name)


def test_a_persons_main_colour_is_the_shirts() -> None:
    person = identity("person", 3)
    assert isinstance(person, Person)
    assert main_colour(person) is person.shirt


def test_an_unknown_class_is_named() -> None:
    with pytest.raises(InputError, match="no class 'horse': use one of dog, cat, person, car, teapot"):
        identity("horse", 0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(InputError, match="identity seed -1 is negative"):
        identity("dog", -1)


def test_a_colour_that_the_class_does_not_have_is_one_line() -> None:
    with pytest.raises(InputError, match="a dog cannot be turquoise: use one of black, white"):
        identity("dog", 0, main_colour="turquoise")
