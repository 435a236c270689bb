"""Subjects as a scenario names them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from apdm.benchmark.tables.subjects import Photos, Toy, source
from apdm.errors import InputError
from apdm.toybox.subjects import VIEWS


def test_a_toy_has_the_views_that_are_asked_for(tmp_path: Path) -> None:
    toy = source("dog", 1, {"attack": 1, "held_out": 2}, None, False)
    assert toy == Toy("dog", 1, {"protect": VIEWS["protect"], "attack": 1, "held_out": 2})
    assert toy.name == "dog-450001"
    toy.write(tmp_path)
    subject = toy.read(tmp_path)
    assert (subject.name, subject.class_noun) == ("dog-450001", "dog")
    for name in ("protect", "attack", "held_out"):
        assert len(subject.paths(name)) == toy.count(name) == {"protect": 4, "attack": 1, "held_out": 2}[name]


def test_toys_are_told_apart_by_number_class_and_views() -> None:
    keys = [Toy("dog", 0), Toy("dog", 1), Toy("cat", 0), Toy("dog", 0, VIEWS | {"attack": 12})]
    assert len({str(toy.key) for toy in keys}) == 4


def test_a_set_of_toys_is_known_by_its_views_alone() -> None:
    toy = Toy("dog", 0, {"protect": 2, "attack": 3, "held_out": 4})
    views = {name: toy.key_of(name)["views"] for name in ("protect", "attack", "held_out")}
    assert views == {"protect": [0, 2], "attack": [2, 5], "held_out": [5, 9]}
    assert toy.key_of("attack", 1) == {"toy": "dog-450000", "views": [2, 3]}
    more = Toy("dog", 0, {"protect": 2, "attack": 12, "held_out": 4})
    assert more.key_of("protect") == toy.key_of("protect")
    assert more.key_of("attack", 3) == toy.key_of("attack")


def test_a_set_of_photos_is_known_by_its_contents_alone(tmp_path: Path) -> None:
    (tmp_path / "rex").mkdir()

    def keys(*colours: int) -> list[Mapping[str, object]]:
        """Of photos with these colours, dealt in turn to protect, attack and held out."""
        for number, colour in enumerate(colours):
            Image.new("RGB", (64, 64), (colour, 0, 0)).save(tmp_path / "rex" / f"{number}.png")
        rex = source("dog", "rex", {}, tmp_path, False)
        return [rex.key_of(name) for name in ("protect", "attack", "held_out")] + [rex.key_of("protect", 1)]

    three = keys(0, 50, 100)
    four, five, six = keys(0, 50, 100, 150), keys(0, 50, 100, 150, 200), keys(0, 50, 100, 150, 200, 250)
    assert [a != b for a, b in zip(three, four, strict=True)] == [True, False, False, False]
    assert [a != b for a, b in zip(four, five, strict=True)] == [False, True, False, False]
    assert [a != b for a, b in zip(five, six, strict=True)] == [False, False, True, False]
    other = keys(7, 50, 100, 150, 200, 250)
    assert [a != b for a, b in zip(six, other, strict=True)] == [True, False, False, True]


def test_photos_are_read_where_they_lie_and_nobody_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "rex"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (64, 64), (number * 50, 0, 0)).save(folder / f"{number}.png")
    rex = source("dog", "rex", {}, tmp_path, True)
    assert isinstance(rex, Photos)
    assert [rex.count(name) for name in ("protect", "attack", "held_out")] == [4, 4, 4]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    rex.write(elsewhere)
    assert list(elsewhere.iterdir()) == []
    assert rex.read(elsewhere).paths("attack")[0].parent == folder
    assert set(rex.key) == {"photos"}
    assert "rex" not in str(rex.key)
    assert rex.key != source("dog", "rex", {}, tmp_path, False).key


def test_photos_need_a_place() -> None:
    with pytest.raises(InputError, match="--data DIR"):
        source("dog", "rex", {}, None, False)
