"""Checkpoints of a long loop: each whole or not there, bounded in number, and taken up bit for bit.

A folder "checkpoint-N" holds the loop's state after N steps, a safetensors file for each of its parts, and a
note of the run that it is of. Random streams are named by step (`apdm.seeding`), so there are none to keep.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from apdm.backbones.base import Backbone
from apdm.benchmark.reading import read_json
from apdm.benchmark.store import beside, discard, leaves
from apdm.errors import Diverged, InputError, one_line
from apdm.metrics.base import digest
from apdm.ranks import first
from apdm.steps import State

LATEST = "latest"
NOTE = "checkpoint.json"
NAME = re.compile(r"checkpoint-(\d+)")
DAMAGED = "take an earlier checkpoint"
OTHER = "give what it was made with, or start anew in a new folder"


@dataclass(frozen=True)
class Run:
    """What a checkpoint fits to: the settings, plain, and digests of all photos and of the weights that it
    began with, "" while they are not loaded yet."""

    settings: Mapping[str, object]
    photos: str
    weights: str = ""

    def refuse_other(self, place: Path) -> None:
        """Raises `InputError` if the checkpoint at `place` is of another run than this one."""
        of = read_json(Note, place / NOTE, fix=DAMAGED).run
        was, now = leaves(of.settings), leaves(self.settings)
        for name in [*was, *now]:
            if was.get(name) != now.get(name):
                raise InputError(
                    f"{place} was made with {name} {was.get(name)}, not {now.get(name)}", fix=OTHER
                )
        if of.photos != self.photos:
            raise InputError(f"{place} was made with other photos", fix=OTHER)
        if self.weights and of.weights != self.weights:
            raise InputError(f"{place} was made from another model's weights", fix=OTHER)


@dataclass(frozen=True)
class Note:
    """What a checkpoint says of itself."""

    steps: int
    run: Run


@dataclass(frozen=True)
class Checkpoints:
    """Of one run, in `folder`: one after every `every` steps (0: none), at most the `limit` newest, and while
    one is written one more. `resumed` is the one to begin at. Of several processes that share a run the first
    writes and removes them, and all begin there."""

    folder: Path
    run: Run
    every: int
    limit: int
    resumed: Path | None = None

    def steps(self, total: int, state: State) -> Iterator[int]:
        """`apdm.steps.Steps`. Raises `InputError` for a `resumed` that is damaged, and `Diverged` rather than
        keep, or call finished, a state that is not finite."""
        done = self._take_up(state) if self.resumed else 0
        for step in range(done, total):
            yield step
            due = self.every > 0 and (step + 1) % self.every == 0
            if due or step + 1 == total:
                refuse_infinite(state, step + 1)
            if due and first():
                self._keep(step + 1, state)

    def of(self, backbone: Backbone) -> Checkpoints:
        """These, once the model to begin with is there. Raises `InputError` if `resumed` is of another."""
        if not (self.every or self.resumed):
            return self
        parts = [backbone.network, *backbone.text_encoders()]
        weights = digest(weight for part in parts for weight in part.parameters())
        run = replace(self.run, weights=weights)
        if self.resumed:
            run.refuse_other(self.resumed)
        return replace(self, run=run)

    def discard(self) -> None:
        """Removes all of them, the newest last."""
        for place in kept(self.folder) if first() else ():
            discard(place)

    def diverged(self, error: Diverged) -> InputError:
        """What a user is told of `error`: where the last state is that was finite and kept."""
        last = next(reversed(kept(self.folder)), self.resumed)
        kept_at = f"the last checkpoint before it is {last}" if last else "there is no checkpoint before it"
        return InputError(error.what, fix=f"{error.fix}; {kept_at}")

    def _take_up(self, state: State) -> int:
        assert self.resumed is not None
        restore(self.resumed, state)
        done = read_json(Note, self.resumed / NOTE, fix=DAMAGED).steps
        for later in kept(self.folder):
            if number(later) > done and first():
                discard(later)
        return done

    def _keep(self, steps: int, state: State) -> None:
        place = self.folder / f"checkpoint-{steps}"
        with beside(place) as part:
            part.mkdir()
            for name, tensors in state.items():
                save_file(
                    {n: t.detach().contiguous() for n, t in tensors.items()}, part / f"{name}.safetensors"
                )
            (part / NOTE).write_text(json.dumps(asdict(Note(steps, self.run)), indent=2) + "\n")
            for written in (*part.iterdir(), part):
                on_disk(written)
            part.replace(place)
            on_disk(self.folder)
        for old in kept(self.folder)[: -self.limit]:
            discard(old)


def kept(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, the newest last."""
    return sorted((place for place in folder.glob("checkpoint-*") if NAME.fullmatch(place.name)), key=number)


def number(place: Path) -> int:
    """The steps in a checkpoint's name."""
    return int(place.name.rpartition("-")[2])


@torch.no_grad()
def restore(place: Path, state: State) -> None:
    """Puts what was kept at `place` into `state`'s own memory. Raises `InputError` if it is damaged."""
    try:
        for part, tensors in state.items():
            with safe_open(place / f"{part}.safetensors", "pt") as file:
                for name, tensor in tensors.items():
                    saved = file.get_tensor(name)
                    if saved.shape != tensor.shape:  # which would be broadcast
                        raise RuntimeError(f"{name} has the shape {tuple(saved.shape)}")
                    tensor.copy_(saved)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{place} is damaged ({one_line(error)})", fix=DAMAGED) from error


def refuse_infinite(state: State, steps: int) -> None:
    """Raises `Diverged` if `state` holds a number that is none."""
    for part, tensors in state.items():
        for name, tensor in tensors.items():
            if not bool(tensor.isfinite().all()):
                raise Diverged(
                    f"{part} {name} is not finite after step {steps}", fix="lower the learning rate"
                )


def on_disk(place: Path) -> None:
    """Waits until the disk has a file, or a folder's names, so that a power cut cannot leave a name without
    its contents, nor take the old checkpoint before it has the new. Windows syncs no folders."""
    if place.is_dir() and os.name == "nt":
        return
    handle = os.open(place, os.O_RDONLY if place.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
