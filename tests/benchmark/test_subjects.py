"""Subjects as a scenario names them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from apdm.benchmark.subjects import Photos, Toy, source
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
