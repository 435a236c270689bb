"""Results are made once, whole, and for one purpose."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from apdm.benchmark.frozen.cells import Cells
from apdm.errors import InputError


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    made = []

    def make() -> dict[str, torch.Tensor]:
        made.append(1)
        return {"x": torch.tensor([1.5])}

    for _ in range(2):
        assert Cells(tmp_path, {"seed": 0}).get("a/b", make)["x"].tolist() == [1.5]
    assert len(made) == 1


def test_a_stop_leaves_nothing(tmp_path: Path) -> None:
    cells = Cells(tmp_path, {})

    def stopped() -> dict[str, torch.Tensor]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cells.get("a", stopped)
    assert "a" not in cells
    with pytest.raises(InputError, match="has not been made"):
        cells.read("a")
    assert cells.get("a", lambda: {"x": torch.ones(1)})["x"].tolist() == [1.0]
    assert cells.read("a")["x"].tolist() == [1.0]
    assert "a" in cells


def test_half_a_file_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(tensors: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr("apdm.benchmark.frozen.cells.save_tensors", half)
    with pytest.raises(InputError, match="the disk is full"):
        Cells(tmp_path, {}).get("a", lambda: {"x": torch.ones(1)})
    with pytest.raises(InputError, match="has not been made"):
        Cells(tmp_path, {}).read("a")


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    """By whoever reads it: one who tells figures, and one who makes others with it."""
    cells = Cells(tmp_path, {})
    cells.get("a/b", lambda: {"x": torch.ones(9)})
    place = tmp_path / "a" / "b.safetensors"
    place.write_bytes(place.read_bytes()[:-4])
    for read in (cells.read, lambda name: cells.get(name, dict)):
        with pytest.raises(InputError, match=r"a/b.safetensors' is damaged"):
            read("a/b")


def test_what_another_makes_is_waited_for(tmp_path: Path) -> None:
    """The lock is its own; another result's is not."""
    cells, made = Cells(tmp_path, {}), threading.Event()
    begun = threading.Event()

    def slowly() -> dict[str, torch.Tensor]:
        begun.set()
        assert made.wait(20)
        return {"x": torch.ones(1)}

    other = threading.Thread(target=lambda: Cells(tmp_path, {}).get("a/b", slowly))
    other.start()
    assert begun.wait(20)
    assert cells.busy("a/b")
    assert not cells.busy("a/c")
    made.set()
    assert cells.get("a/b", lambda: {"x": torch.zeros(1)})["x"].tolist() == [1.0]  # not made twice
    other.join()
    assert not cells.busy("a/b")


def test_results_of_other_settings_are_not_taken(tmp_path: Path) -> None:
    other = Cells(tmp_path, {"seed": 1})
    Cells(tmp_path, {"seed": 0}).get("a", lambda: {"x": torch.ones(1)})
    with pytest.raises(InputError, match="holds results of other settings"):
        Cells(tmp_path, {"seed": 1})
    with pytest.raises(InputError, match="holds results of other settings"):
        other.get("b", lambda: {"x": torch.ones(1)})  # begun at the same time


def test_a_folder_that_is_only_read_stays_as_it_is(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "cells", {"seed": 0})
    assert "a" not in cells
    assert cells.names() == []
    assert not (tmp_path / "cells").exists()


def test_names_are_those_of_whole_results(tmp_path: Path) -> None:
    cells = Cells(tmp_path, {})
    for name in ("b/two", "a", "b/one"):
        cells.get(name, lambda: {"x": torch.ones(1)})
    (tmp_path / "b" / "three.17.part").touch()
    assert cells.names() == ["a", "b/one", "b/two"]
