"""Captions say nothing that is not there; purposes never mix; names are nobody else's words."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from apdm.toybox import captions
from apdm.toybox.captions import (
    NAMED_PER_CLASS,
    PLURALS,
    RESERVED_WORDS,
    Described,
    article,
    describe,
    named_scene,
    names,
    scene,
)
from apdm.toybox.identity import CLASS_NOUNS, FUR, HAIR, PAINT, Identity, identity, main_colour, stream
from apdm.toybox.seeds import Purpose
from apdm.toybox.world import FRAMING, GROUNDS

# What is true of a toy, stated apart from the code under test


def truths(toy: Identity) -> set[str]:
    """Everything that a caption may say of a toy after "with", without articles."""
    said = {
        "dog": lambda t: {
            t.collar and f"{t.collar.word} collar",
            t.ears_second and f"{t.second.word} ears",
            t.coat == "patches" and f"{t.second.word} patches",
        },
        "person": lambda t: {
            not t.hat and f"{t.hair.word} hair",
            t.glasses and "glasses",
            t.hat and f"{t.hat.word} hat",
        },
        "car": lambda t: {
            t.roof != t.main and f"{t.roof.word} roof",
            t.stripe and f"{t.stripe.word} stripe",
        },
        "teapot": lambda t: {
            t.lid != t.main and f"{t.lid.word} lid",
            t.spout != t.main and f"{t.spout.word} spout",
        },
        "cat": lambda t: {
            t.collar and f"{t.collar.word} collar",
            t.ears_second and f"{t.second.word} ears",
            t.coat in ("patches", "stripes") and f"{t.second.word} {t.coat}",
        },
    }
    return {phrase for phrase in said[toy.class_noun](toy) if phrase}


def heads(toy: Identity) -> set[str]:
    """What a caption may call the toy before "with"."""
    noun, colour = toy.class_noun, main_colour(toy).word
    return {noun, f"{noun} in {colour}" if noun == "person" else f"{colour} {noun}"}


def bare(phrase: str) -> str:
    return re.sub(r"^an? ", "", phrase)


def is_true(phrase: str, toy: Identity) -> bool:
    head, _, extras = phrase.partition(" with ")
    said = {bare(extra) for extra in extras.split(" and ")} if extras else set()
    return bare(head) in heads(toy) and said <= truths(toy)


def stripped(described: Described) -> str:
    """The caption without its opening and without its place, which must be the scene's."""
    said = re.sub(r"^a (photo|portrait) of ", "", described.caption)
    here = described.scene.view.ground
    for ground, place in GROUNDS.items():
        if said.endswith(f" {place.phrase}"):
            assert ground == here
            said = said.removesuffix(f" {place.phrase}")
    assert not any(place.phrase in said for place in GROUNDS.values())
    return said


def scenes(count: int, kind: str | None = None, purpose: Purpose = Purpose.TUNING) -> list[Described]:
    return [scene(stream("captions under test", number), purpose, kind) for number in range(count)]


# Descriptions


@pytest.mark.parametrize("noun", CLASS_NOUNS)
def test_everything_that_can_be_said_is_said_and_true(noun: str) -> None:
    said = set()
    for seed in range(400_000, 400_060):
        toy = identity(noun, seed)
        head, _, extras = describe(stream("all", seed), toy, details=1.0).partition(" with ")
        assert head == max(heads(toy), key=len)
        assert {bare(extra) for extra in extras.split(" and ") if extra} == truths(toy)
        said |= {extra.split()[-1] for extra in truths(toy)}
    assert len(said) >= 2


@pytest.mark.parametrize("noun", CLASS_NOUNS)
def test_with_no_details_only_the_class_is_said(noun: str) -> None:
    assert describe(stream("none"), identity(noun, 400_000), details=0.0) == noun


def test_details_vary() -> None:
    toy = identity("cat", 400_003)
    assert len(truths(toy)) >= 2
    assert len({describe(stream("some", number), toy) for number in range(60)}) >= 8


def test_articles() -> None:
    assert [article(phrase) for phrase in ("orange dog", "red dog")] == ["an orange dog", "a red dog"]


# Scenes


def test_scenes_are_the_same_on_every_machine() -> None:
    said = [scene(stream("golden", number), Purpose.TUNING).caption for number in range(6)]
    assert said == [
        "a portrait of person in purple with glasses and a yellow hat in the snow",
        "a photo of three people in blue in the desert",
        "a photo of a cat to the left of a cat in a room",
        "a photo of two cars in the snow",
        "a photo of a person in black on the beach",
        "a photo of a dog in the snow",
    ]


def test_a_caption_of_one_toy_is_true() -> None:
    for described in scenes(600, "alone"):
        (placed,) = described.scene.toys
        assert is_true(stripped(described), placed.toy), described.caption
        assert described.kind == "alone"


def test_a_caption_of_a_pair_is_true_and_left_is_left() -> None:
    relations = Counter()
    for described in scenes(400, "pair"):
        left, right = sorted(described.scene.toys, key=lambda placed: placed.x)
        assert left.x < -0.5 < 0.5 < right.x
        said = stripped(described)
        relation = next((r for r in (" to the left of ", " to the right of ") if r in said), " and ")
        first, second = (right, left) if "right" in relation else (left, right)
        cuts = [cut.start() for cut in re.finditer(relation, said)]
        halves = [(said[:cut], said[cut + len(relation) :]) for cut in cuts]
        assert any(is_true(a, first.toy) and is_true(b, second.toy) for a, b in halves), described.caption
        relations[relation] += 1
    assert min(relations.values()) > 50
    assert len(relations) == 3


def test_a_caption_of_several_counts_right() -> None:
    counts = Counter()
    for described in scenes(400, "several"):
        toys: list[Identity] = [placed.toy for placed in described.scene.toys]
        noun, colour = toys[0].class_noun, main_colour(toys[0]).word
        assert {toy.class_noun for toy in toys} == {noun}
        assert {main_colour(toy).word for toy in toys} == {colour}
        assert len(set(toys)) == len(toys)
        plural = PLURALS[noun]
        coloured = f"{plural} in {colour}" if noun == "person" else f"{colour} {plural}"
        number = {2: "two", 3: "three"}[len(toys)]
        assert stripped(described) in (f"{number} {plural}", f"{number} {coloured}")
        counts[len(toys)] += 1
    assert counts[2] > 150
    assert counts[3] > 150


def test_toys_of_a_scene_stand_apart() -> None:
    for described in scenes(200, "pair") + scenes(200, "several"):
        columns = sorted(placed.x for placed in described.scene.toys)
        assert min(np.diff(columns)) > 1.0


def test_a_portrait_is_taken_from_near() -> None:
    near = Counter()
    for described in scenes(400, "alone"):
        distance, _ = FRAMING[described.scene.toys[0].toy.class_noun]
        near["portrait" in described.caption, described.scene.view.distance < 0.85 * distance] += 1
    assert set(near) == {(True, True), (False, False)}
    assert 30 < near[True, True] < 90


def test_a_quarter_of_the_scenes_hold_several_toys() -> None:
    drawn = scenes(3000)
    kinds = Counter(described.kind for described in drawn)
    assert kinds["pair"] + kinds["several"] == pytest.approx(750, abs=75)
    assert min(kinds["pair"], kinds["several"]) > 200
    for described in drawn:
        assert (len(described.scene.toys) > 1) == (described.kind != "alone")


def test_every_class_and_ground_is_shown() -> None:
    drawn = scenes(2000, "alone")
    classes = Counter(described.scene.toys[0].toy.class_noun for described in drawn)
    grounds = Counter(described.scene.view.ground for described in drawn)
    assert set(classes) == set(CLASS_NOUNS)
    assert min(classes["dog"], classes["cat"], classes["person"]) > 450
    assert min(classes["car"], classes["teapot"]) > 120
    assert set(grounds) == set(GROUNDS)
    assert min(grounds.values()) > 250


def test_detail_opening_and_place_vary() -> None:
    said = [described.caption for described in scenes(1000, "alone")]
    with_photo = sum(caption.startswith("a photo of ") for caption in said)
    with_place = sum(any(place.phrase in caption for place in GROUNDS.values()) for caption in said)
    with_extras = sum(" with " in caption for caption in said)
    assert 700 < with_photo < 900
    assert 740 < with_place < 860
    assert 300 < with_extras < 700


# Purposes


@pytest.fixture
def seeds(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Class and seed of every toy that captions make."""
    made: list[tuple[str, int]] = []

    def spy(class_noun: str, seed: int, main_colour: str | None = None) -> Identity:
        made.append((class_noun, seed))
        return identity(class_noun, seed, main_colour)

    monkeypatch.setattr(captions, "identity", spy)
    return made


@pytest.mark.parametrize("purpose", Purpose)
def test_a_purposes_scenes_hold_its_own_toys_only(purpose: Purpose, seeds: list[tuple[str, int]]) -> None:
    scenes(400, purpose=purpose)
    assert len(seeds) > 480
    assert all(purpose.first <= seed < purpose.end for _, seed in seeds)
    span = purpose.end - purpose.first
    assert max(seed for _, seed in seeds) > purpose.first + 0.9 * span


def test_named_individuals_appear_under_their_name_only(
    seeds: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were 190,000 of the generator's toys named, all others would come from the last 10,000."""
    scenes(100, purpose=Purpose.GENERATOR)
    assert not set(seeds) & set(names().values())
    seeds.clear()
    monkeypatch.setattr(captions, "NAMED_PER_CLASS", dict.fromkeys(CLASS_NOUNS, 190_000))
    scenes(100, purpose=Purpose.GENERATOR)
    assert min(seed for _, seed in seeds) >= 190_000


# Names


def test_names_are_the_same_on_every_machine() -> None:
    assert list(names().items())[:3] == [("tfrs", ("dog", 0)), ("salx", ("dog", 1)), ("lsr", ("dog", 2))]
    assert list(names().items())[-1] == ("knwx", ("teapot", 29))


def test_every_named_individual_is_a_toy_of_its_own_for_the_generator() -> None:
    named = list(names().values())
    assert len(set(named)) == len(named) == 300
    assert Counter(noun for noun, _ in named) == NAMED_PER_CLASS
    for _, seed in named:
        Purpose.GENERATOR.require(seed)


def test_names_are_short_words_that_mean_nothing_else() -> None:
    vocabulary = {word for described in scenes(2000) for word in described.caption.split()}
    assert vocabulary > {"dog", "cats", "people", *FUR, *PAINT, *HAIR} - {"blond"}
    for word in names():
        assert re.fullmatch(r"[a-z][a-z0-9@][a-z]{1,2}", word)
        assert word not in vocabulary


def test_no_name_is_an_identifier_that_the_field_uses() -> None:
    assert {"sks", "t@t"} <= RESERVED_WORDS
    assert not RESERVED_WORDS & set(names())


def test_a_reserved_word_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "RESERVED_WORDS", {"tfrs", "lsr"})
    assert list(names.__wrapped__().items())[:2] == [("salx", ("dog", 0)), (list(names())[3], ("dog", 1))]


def test_every_sign_of_an_identifier_has_been_met_in_names() -> None:
    assert set("".join(RESERVED_WORDS)) <= set("".join(names()))


def test_a_named_scene_shows_that_individual() -> None:
    word, (noun, seed) = list(names().items())[100]
    drawn = [named_scene(stream("named", number), word) for number in range(200)]
    shown = {described.scene.toys for described in drawn}
    assert {placed.toy for (placed,) in shown} == {identity(noun, seed)}
    assert len({described.scene.view for described in drawn}) == 200
    assert {described.scene.view.ground for described in drawn} == set(GROUNDS)
    said = Counter(stripped(described) for described in drawn)
    assert set(said) == {f"{word} {noun}", f"a {word} {noun}"}
    assert said[f"{word} {noun}"] > said[f"a {word} {noun}"] > 15


def test_telling_captions_say_class_colour_and_ground() -> None:
    told = captions.telling_scenes(Purpose.TUNING, 20)
    assert len(told) == 20
    for described in told:
        (placed,) = described.scene.toys
        assert placed.toy.class_noun in described.caption
        assert main_colour(placed.toy).word in described.caption.split()
        assert GROUNDS[described.scene.view.ground].phrase in described.caption
    assert told[:5] == captions.telling_scenes(Purpose.TUNING, 5)
