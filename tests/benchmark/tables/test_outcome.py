"""Records and listings come back as they were written, or say what is wrong with them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from apdm.benchmark.tables.outcome import LISTINGS, read_listings, read_outcome, record_path, write
from apdm.errors import InputError


def test_a_record_comes_back(tmp_path: Path, make_outcome) -> None:
    outcome = make_outcome("rex-0", [0.25, 0.5], [None, 3.0], folder=tmp_path)
    assert read_outcome(tmp_path, "rex-0") == outcome
    assert read_outcome(tmp_path, "rex-1") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[:200], "is not JSON"),
        (
            lambda text: text.replace('"wall_time"', '"wal_time"'),
            "unknown 'wal_time': did you mean 'wall_time'",
        ),
        (lambda text: text.replace('"digest": "rex-0"', '"digest": "rex-1"'), "is the record of cell rex-1"),
        (lambda text: json.dumps({**json.loads(text), "measured": None}), "measured is null"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, make_outcome, change, said: str) -> None:
    make_outcome("rex-0", [0.5], folder=tmp_path)
    path = record_path(tmp_path, "rex-0")
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=said) as caught:
        read_outcome(tmp_path, "rex-0")
    assert "rex-0.json" in str(caught.value)


def test_half_a_write_leaves_the_earlier_record(
    tmp_path: Path, make_outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = make_outcome("rex-0", [0.5], folder=tmp_path)

    def stopped(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        make_outcome("rex-0", [0.9], folder=tmp_path)
    assert read_outcome(tmp_path, "rex-0") == outcome


def test_values_that_are_no_numbers_are_not_written(tmp_path: Path, make_outcome) -> None:
    with pytest.raises(ValueError, match="JSON"):
        make_outcome("rex-0", [float("nan")], folder=tmp_path)
    assert read_outcome(tmp_path, "rex-0") is None


def test_listings_are_found_by_name(tmp_path: Path, make_listing) -> None:
    with pytest.raises(InputError, match="holds no table: give the folder of 'apdm bench'"):
        read_listings(tmp_path)
    first = make_listing(("attack", "control", {"dog": (("rex-0", "rex-1"),)}, {"brisque": {"dog": 1.5}}))
    second = replace(first, name="another")
    for listing in (first, second):
        write(listing, tmp_path / LISTINGS / f"{listing.name}-toy.json")
    assert read_listings(tmp_path) == [second, first]
    (tmp_path / LISTINGS / "small-toy.json").write_text("{")
    with pytest.raises(InputError, match=r"small-toy\.json is not JSON .*: run the scenario again"):
        read_listings(tmp_path)
