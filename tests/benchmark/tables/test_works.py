"""Works are made once, whole, by one process at a time, and are known by all that they depend on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from apdm.benchmark.tables.works import Busy, Work, Works
from apdm.errors import InputError

CPU = torch.device("cpu")
WORK = Work("cloak", "advdm", {"steps": 3, "seed": 0})


def write(folder: Path) -> None:
    (folder / "x.txt").write_text("x")


def test_a_digest_is_of_the_contents_whatever_their_order() -> None:
    assert Work("cloak", "other", {"seed": 0, "steps": 3}).digest == WORK.digest
    assert Work("cloak", "advdm", {"steps": 4, "seed": 0}).digest != WORK.digest
    assert Work("attack", "advdm", WORK.about).digest != WORK.digest


def test_what_is_there_is_not_made_again_and_says_how_it_was(tmp_path: Path) -> None:
    prepared: list[int] = []

    def prepare():
        prepared.append(1)
        return write

    works = Works(tmp_path, CPU)
    assert not works.there(WORK)
    for _ in range(2):
        assert (works.get(WORK, prepare) / "x.txt").read_text() == "x"
    assert len(prepared) == 1
    assert works.there(WORK)
    made = Works(tmp_path, CPU).made(WORK)
    assert (made.kind, made.method, made.digest, made.about) == ("cloak", "advdm", WORK.digest, WORK.about)
    assert 0 <= made.seconds < 1
    assert made.provenance.device.startswith("cpu")


def test_seconds_are_those_of_the_making_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.5])
    monkeypatch.setattr("apdm.benchmark.tables.works.time.monotonic", lambda: next(clock))
    works = Works(tmp_path, CPU)
    works.get(WORK, lambda: write)
    assert works.made(WORK).seconds == 2.5


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError, InputError("no", fix="yes")])
def test_a_stop_leaves_nothing(tmp_path: Path, stop: BaseException) -> None:
    def stopped(folder: Path) -> None:
        write(folder)
        raise stop

    works = Works(tmp_path, CPU)
    with pytest.raises((KeyboardInterrupt, RuntimeError, InputError)):
        works.get(WORK, lambda: stopped)
    assert list((tmp_path / "works" / "cloak").iterdir()) == []
    assert (Works(tmp_path, CPU).get(WORK, lambda: write) / "x.txt").exists()  # the lock is free again


def test_half_a_work_of_a_killed_process_is_in_nobodys_way(tmp_path: Path) -> None:
    half = tmp_path / "works" / "cloak" / f"{WORK.digest}.part"
    half.mkdir(parents=True)
    (half / "half.txt").write_text("half")
    made = Works(tmp_path, CPU).get(WORK, lambda: write)
    assert sorted(path.name for path in made.iterdir()) == ["made.json", "x.txt"]
    assert not half.exists()


def test_who_comes_second_is_told_and_prepares_nothing(tmp_path: Path) -> None:
    first, second = Works(tmp_path, CPU), Works(tmp_path, CPU)

    def meanwhile(folder: Path) -> None:
        with pytest.raises(Busy):
            second.get(WORK, lambda: pytest.fail("prepared twice"))
        write(folder)

    first.get(WORK, lambda: meanwhile)
    assert second.get(WORK, lambda: pytest.fail("it is there")).is_dir()


def test_what_could_not_be_made_is_not_tried_again(tmp_path: Path) -> None:
    tried: list[int] = []

    def diverged(folder: Path) -> None:
        tried.append(1)
        raise InputError("it diverged", fix="lower its rate")

    works = Works(tmp_path, CPU)
    for _ in range(2):
        with pytest.raises(InputError, match="it diverged"):
            works.get(WORK, lambda: diverged)
    assert len(tried) == 1


def test_a_damaged_note_is_named(tmp_path: Path) -> None:
    works = Works(tmp_path, CPU)
    place = works.get(WORK, lambda: write)
    (place / "made.json").write_text("{")
    with pytest.raises(InputError, match=r"made\.json is not JSON .*: delete its folder"):
        works.made(WORK)
