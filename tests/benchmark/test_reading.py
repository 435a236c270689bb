"""Strict reading: what fits comes through, all else is named with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import pytest

from apdm.benchmark.reading import changed, read_as, read_json, read_toml
from apdm.cloaks.advdm import AdvDM
from apdm.cloaks.budget import Budget
from apdm.errors import InputError


class Way(Enum):
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True)
class Inner:
    rate: float = 1.0
    way: Way = Way.UP


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    count: int | str = 3
    limit: int | None = None
    table: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def test_everything_that_toml_has_finds_its_kind(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(
        'name = "x"\ncount = "N-1"\nlimit = 4\ninner = { rate = 2, way = "down" }\ntable.a = [1, 2]\n'
    )
    told = read_as(Outer, read_toml(tmp_path / "x.toml"), "x")
    assert told == Outer("x", Inner(2.0, Way.DOWN), "N-1", 4, {"a": (1, 2)})
    assert type(told.inner.rate) is float


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"nam": "x"}, "here has an unknown 'nam': did you mean 'name'"),
        ({}, "here has no 'name'"),
        ({"name": 3}, "here.name is 3: it must be a str"),
        ({"name": "x", "inner": {"way": "left"}}, 'here.inner.way is "left": it must be a Way'),
        ({"name": "x", "count": 1.5}, "here.count is 1.5: it must be a int"),
        ({"name": "x", "table": {"a": [1, "2"]}}, r'here.table.a\[1\] is "2"'),
        ({"name": "x", "inner": 3}, "here.inner is 3"),
    ],
)
def test_all_else_is_named(data: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_as(Outer, data, "here")


def test_settings_are_changed_in_part_and_stay_what_they_were() -> None:
    outer = Outer("x", Inner(5.0, Way.DOWN))
    assert changed(outer, {"inner": {"rate": 2}, "limit": 1}, "row") == Outer(
        "x", Inner(2.0, Way.DOWN), limit=1
    )
    assert changed(outer, {}, "row") is outer
    assert outer.inner.rate == 5.0
    with pytest.raises(InputError, match=r"row\.inner has an unknown 'rat'"):
        changed(outer, {"inner": {"rat": 2}}, "row")
    with pytest.raises(InputError, match="row has no settings: leave out rate"):
        changed(print, {"rate": 2}, "row")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json does not exist: make it"):
        read_json(Outer, tmp_path / "none.json", fix="make it")
    (tmp_path / "x.json").write_text('{"name": NaN}')
    with pytest.raises(InputError, match=r"x\.json is not JSON"):
        read_json(Outer, tmp_path / "x.json", fix="make it")
    (tmp_path / "x.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"x\.json is not JSON"):
        read_json(Outer, tmp_path / "x.json", fix="make it")
    with pytest.raises(InputError, match="cannot be read"):
        read_toml(tmp_path / "none.toml")


@pytest.mark.parametrize("value", ["16/255@[-1,1]", {"value": 16 / 255, "range": [-1, 1]}])
def test_a_budget_is_one_word_or_both_its_parts(value: object) -> None:
    assert changed(AdvDM(), {"budget": value}, "row").budget == Budget(16 / 255, (-1.0, 1.0))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.05, "row.budget: budget 0.05 does not say of what range: write 8/255"),
        ("0.05", "row.budget: budget 0.05 does not say of what range"),
        ({"value": 0.05}, "row.budget has no 'range'"),
        ({"value": 0.05, "range": [0, 2]}, "a picture's range is not"),
        (True, "row.budget: 'True' is not a budget"),
    ],
)
def test_a_budget_without_its_range_is_refused(value: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        changed(AdvDM(), {"budget": value}, "row")
