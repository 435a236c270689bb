"""A checkpoint is whole or not there, they do not pile up, and one of another run is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from apdm.backbones.base import Backbone
from apdm.benchmark import checkpoints
from apdm.benchmark.checkpoints import Checkpoints, Run, kept
from apdm.errors import Diverged, InputError

RUN = Run({"seed": 0, "protection": {"outer_steps": 9, "rates": [0.1, 1e-8]}}, photos="p", weights="w")


class Loop:
    """Two weights and a number on its own; a step multiplies and adds."""

    def __init__(self) -> None:
        self.weight = nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]]).T)  # not contiguous
        self.mean = torch.tensor(0.1, dtype=torch.float64)
        self.walked: list[int] = []

    @property
    def state(self) -> dict[str, dict[str, Tensor]]:
        return {"protected": {"weight": self.weight}, "optimizer": {"0.mean": self.mean}}

    @torch.no_grad()
    def walk(self, steps: Iterator[int]) -> list[float]:
        for step in steps:
            self.walked.append(step)
            self.weight.mul_(1.1).add_(step)
            self.mean.add_(self.weight.sum() / 3)
        return [*self.weight.flatten().tolist(), self.mean.item()]


def names(folder: Path) -> list[str]:
    return [place.name for place in kept(folder)]


def test_what_is_taken_up_ends_as_what_was_never_stopped(tmp_path: Path) -> None:
    whole = Loop()
    end = whole.walk(Checkpoints(tmp_path, RUN, every=2, limit=9).steps(7, whole.state))
    assert names(tmp_path) == ["checkpoint-2", "checkpoint-4", "checkpoint-6"]
    for place in kept(tmp_path):
        again = Loop()
        resumed = Checkpoints(tmp_path / "new", RUN, every=0, limit=1, resumed=place)
        assert again.walk(resumed.steps(7, again.state)) == end
        assert again.walked == list(range(int(place.name[-1]), 7))


def test_a_checkpoint_is_safetensors_and_json(tmp_path: Path) -> None:
    loop = Loop()
    loop.walk(Checkpoints(tmp_path, RUN, every=2, limit=1).steps(2, loop.state))
    files = {"checkpoint.json", "optimizer.safetensors", "protected.safetensors"}
    assert {file.name for file in (tmp_path / "checkpoint-2").iterdir()} == files
    note = json.loads((tmp_path / "checkpoint-2" / "checkpoint.json").read_text())
    assert note["steps"] == 2
    assert note["run"] == {"settings": RUN.settings, "photos": "p", "weights": "w"}


def test_the_newest_stay_and_none_is_written_where_none_is_asked_for(tmp_path: Path) -> None:
    loop = Loop()
    loop.walk(Checkpoints(tmp_path, RUN, every=1, limit=2).steps(11, loop.state))
    assert names(tmp_path) == ["checkpoint-10", "checkpoint-11"]
    assert len(list(tmp_path.iterdir())) == 2
    Checkpoints(tmp_path, RUN, every=1, limit=2).discard()
    loop.walk(Checkpoints(tmp_path, RUN, every=0, limit=2).steps(3, loop.state))
    assert list(tmp_path.iterdir()) == []


def test_an_old_one_goes_only_when_the_new_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    loop = Loop()
    steps = Checkpoints(tmp_path, RUN, every=1, limit=1).steps(9, loop.state)
    next(steps)
    next(steps)
    monkeypatch.setattr(checkpoints, "on_disk", full)
    with pytest.raises(InputError, match=r"checkpoint-2' could not be written \(no space left\)"):
        next(steps)
    assert [place.name for place in tmp_path.iterdir()] == ["checkpoint-1"]


def test_the_disk_has_the_new_one_before_the_old_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files, then the folder that names them, then the folder that names that; only then a folder may go."""
    synced: list[tuple[str, list[str]]] = []
    on_disk = checkpoints.on_disk

    def listened(place: Path) -> None:
        on_disk(place)
        synced.append((re.sub(r"\.\d+\.part", "", place.name), names(tmp_path)))

    loop = Loop()
    loop.walk(Checkpoints(tmp_path, RUN, every=1, limit=1).steps(1, loop.state))
    monkeypatch.setattr(checkpoints, "on_disk", listened)
    steps = Checkpoints(tmp_path, RUN, every=1, limit=1, resumed=tmp_path / "checkpoint-1").steps(
        2, loop.state
    )
    loop.walk(steps)
    old, both = ["checkpoint-1"], ["checkpoint-1", "checkpoint-2"]
    assert sorted(synced[:3]) == [
        ("checkpoint.json", old),
        ("optimizer.safetensors", old),
        ("protected.safetensors", old),
    ]
    assert synced[3:] == [(".checkpoint-2", old), (tmp_path.name, both)]
    assert names(tmp_path) == ["checkpoint-2"]


def test_later_ones_go_when_an_earlier_one_is_taken_up(tmp_path: Path) -> None:
    loop = Loop()
    loop.walk(Checkpoints(tmp_path, RUN, every=1, limit=5).steps(5, loop.state))
    back = Checkpoints(tmp_path, RUN, every=2, limit=2, resumed=tmp_path / "checkpoint-3")
    next(back.steps(5, loop.state))
    assert names(tmp_path) == ["checkpoint-1", "checkpoint-2", "checkpoint-3"]


def test_of_several_processes_only_the_first_writes_and_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, there = Loop(), ["checkpoint-1", "checkpoint-2", "checkpoint-3"]
    loop.walk(Checkpoints(tmp_path, RUN, every=1, limit=5).steps(3, loop.state))
    monkeypatch.setattr(checkpoints, "first", lambda: False)
    other = Checkpoints(tmp_path, RUN, every=1, limit=1, resumed=tmp_path / "checkpoint-2")
    steps = other.steps(5, loop.state)
    next(steps)
    assert names(tmp_path) == there  # the later one is the first process's to remove
    loop.walk(steps)
    other.discard()
    assert names(tmp_path) == there


@pytest.mark.parametrize("every", [0, 1])
def test_numbers_that_are_none_are_neither_kept_nor_called_finished(tmp_path: Path, every: int) -> None:
    loop = Loop()
    steps = Checkpoints(tmp_path, RUN, every, limit=1).steps(1, loop.state)
    next(steps)
    loop.mean.fill_(torch.inf)
    with pytest.raises(Diverged, match=r"optimizer 0\.mean is not finite after step 1: lower"):
        next(steps)
    assert list(tmp_path.iterdir()) == []


def test_who_diverged_is_told_where_to_look(tmp_path: Path) -> None:
    loop, error = Loop(), Diverged("it diverged", fix="lower its rate")
    of = Checkpoints(tmp_path, RUN, every=1, limit=2)
    assert str(of.diverged(error)) == "it diverged: lower its rate; there is no checkpoint before it"
    elsewhere = replace(of, resumed=Path("there/checkpoint-7"))
    assert str(elsewhere.diverged(error)).endswith("checkpoint before it is there/checkpoint-7")
    loop.walk(of.steps(3, loop.state))
    assert str(elsewhere.diverged(error)).endswith(f"before it is {tmp_path}/checkpoint-3")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(RUN, settings={**RUN.settings, "seed": 1}), "seed 0, not 1: give what"),
        (replace(RUN, settings={**RUN.settings, "protection": {"outer_steps": 8}}), "outer_steps 9, not 8"),
        (replace(RUN, settings={**RUN.settings, "method": "x"}), "made with method None, not x"),
        (replace(RUN, photos="q"), "other photos"),
        (replace(RUN, weights="v"), "another model's weights"),
    ],
)
def test_one_of_another_run_is_refused(tmp_path: Path, other: Run, said: str) -> None:
    loop = Loop()
    loop.walk(Checkpoints(tmp_path, RUN, every=1, limit=1).steps(1, loop.state))
    RUN.refuse_other(tmp_path / "checkpoint-1")
    replace(RUN, weights="").refuse_other(tmp_path / "checkpoint-1")  # not loaded yet
    with pytest.raises(InputError, match=said):
        other.refuse_other(tmp_path / "checkpoint-1")


def test_network_and_text_encoders_must_be_those_that_it_began_with(tmp_path: Path) -> None:
    def model(network: float, text: float) -> Backbone:
        parts = [nn.ParameterList([torch.tensor(float(value))]) for value in (network, text)]
        return cast(Backbone, SimpleNamespace(network=parts[0], text_encoders=lambda: parts[1:]))

    loop, unloaded = Loop(), Checkpoints(tmp_path, replace(RUN, weights=""), every=1, limit=1)
    loop.walk(unloaded.of(model(1, 2)).steps(1, loop.state))
    resumed = replace(unloaded, resumed=tmp_path / "checkpoint-1")
    assert resumed.of(model(1, 2)).run.weights
    for other in (model(3, 2), model(1, 3)):
        with pytest.raises(InputError, match="another model's weights"):
            resumed.of(other)


@pytest.mark.parametrize("damage", ["no note", "no part", "cut off", "no tensor", "another shape"])
def test_a_damaged_one_is_refused(tmp_path: Path, damage: str) -> None:
    loop = Loop()
    loop.walk(Checkpoints(tmp_path, RUN, every=1, limit=1).steps(1, loop.state))
    place = tmp_path / "checkpoint-1"
    part, state = place / "optimizer.safetensors", loop.state
    if damage == "no note":
        (place / "checkpoint.json").unlink()
    elif damage == "no part":
        part.unlink()
    elif damage == "cut off":
        part.write_bytes(part.read_bytes()[:-4])
    elif damage == "no tensor":
        state = {"optimizer": {"1.mean": loop.mean}}
    else:
        state = {"optimizer": {"0.mean": torch.zeros(2, 2)}}
    with pytest.raises(InputError, match=r"checkpoint-1.*: take an earlier checkpoint") as caught:
        next(Checkpoints(tmp_path, RUN, every=1, limit=1, resumed=place).steps(2, state))
    assert "\n" not in str(caught.value)
