"""An exam taken: a model draws the paper's pictures, once, and the examiners give each its marks.

A record holds a mark of each caption or prompt, and of FID and KID the distance of all pictures and of random
halves of them, which are the same for every model, so that a table can compare models pair by pair.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from apdm.backbones.base import Backbone, batches
from apdm.benchmark.frozen.workshop import held_out_scene
from apdm.benchmark.tables.exam import ASKED, CAPTIONS, OBJECTS
from apdm.benchmark.tables.examiners import Examiners
from apdm.benchmark.tables.kept import Kept
from apdm.benchmark.tables.outcome import Measured
from apdm.benchmark.tables.works import Works
from apdm.metrics.base import joint_fingerprint
from apdm.metrics.clip import fits
from apdm.metrics.fid import fid_and_halves
from apdm.metrics.geneval import by_task, right_pictures
from apdm.metrics.kid import kid_and_halves
from apdm.metrics.tifa import answered
from apdm.pixels import from_uint8, load, save_png
from apdm.seeding import derive
from apdm.toybox.world import render
from apdm.types import Pixels
from apdm.watch import Watch, titled

STEM, FEATURES = "picture", "features.safetensors"
AT_A_TIME = 200  # pictures; memory only
DIGITS = 6  # of a mark


@dataclass(frozen=True)
class Examination:
    """Of the model of a cell; `pristine` is the unprotected one. Works are made where they are not there."""

    kept: Kept
    model: Backbone
    pristine: Backbone
    works: Works
    examiners: Examiners
    watch: Watch

    def marks(self) -> dict[str, Measured]:
        """All of them, by metric; those of TIFA's types and GenEval's tasks have names of two words."""
        found = {**self.distances(), "clip": self.clip(), **self.tifa(), **self.geneval()}
        return found | ({"time": self.time()} if self.kept.of.protected else self.of_renders())

    def draw(self) -> Path:
        """Makes all works that the marks need; the folder of the captions' pictures."""
        self.references()
        folders = [self.drawn(name)[0].parent for name in (CAPTIONS, ASKED, OBJECTS)]
        return folders[0]

    def drawn(self, name: str) -> list[Path]:
        """The pictures of the paper's set called `name`."""
        prompts = self.kept.paper.prompts(name)
        seeds = [derive(self.kept.seed, "exam", number) for number in range(len(prompts))]

        def make(folder: Path) -> None:
            told = titled(self.watch, f"{name} {self.kept.name}")
            for rows in batches(len(prompts), AT_A_TIME):
                told(name, rows.start, len(prompts), {})
                drawn = self.model.generate(prompts[rows], seeds[rows], self.kept.of.sampling)
                save_png(drawn, folder, STEM, first=rows.start)
            told(name, len(prompts), len(prompts), {})

        return sorted(self.works.get(self.kept.drawn(name), lambda: make).glob("*.png"))

    def references(self) -> Tensor:
        """Features of the paper's references, at the side of the model's pictures."""

        def make(folder: Path) -> None:
            save_file({"features": self._features(self._reference_pictures())}, folder / FEATURES)

        return load_file(self.works.get(self.kept.references, lambda: make) / FEATURES)["features"]

    def distances(self) -> dict[str, Measured]:
        """FID and KID of the captions' pictures."""
        eye, references = self.examiners.distance, self.references()
        features = self._features(self._loaded(self.drawn(CAPTIONS)))
        found = {"fid": fid_and_halves, "kid": kid_and_halves}
        return {
            name: _measured(measure(features, references, seed=self.kept.seed), eye.name, eye.fingerprint)
            for name, measure in found.items()
        }

    def clip(self) -> Measured:
        """The cosine of each caption and its picture."""
        return self._clip(self._loaded(self.drawn(CAPTIONS)))

    def tifa(self) -> dict[str, Measured]:
        """The share of right answers to each caption's questions, all of them and those of each type."""
        files = dict(zip(self.kept.paper.asked, self.drawn(ASKED), strict=True))
        return self._tifa(lambda id: self._load([files[id]]))

    def of_renders(self) -> dict[str, Measured]:
        """What the judges say of renders of the scenes themselves, where captions and questions are the
        Toybox's: the most that a model can reach."""
        exam, found = self.kept.paper.exam, dict[str, Measured]()
        if isinstance(exam.captions, int):
            found["renders clip"] = self._clip(_renders(exam.captions))
        if isinstance(exam.questions, int):
            found["renders tifa"] = self._tifa(lambda id: _rendered([int(id)]))["tifa"]
        return found

    def _clip(self, parts: Iterable[Pixels]) -> Measured:
        captions, clip = self.kept.paper.captions, self.examiners.clip
        asked = (captions[rows] for rows in batches(len(captions), AT_A_TIME))
        found = [fits(clip, *one) for one in zip(parts, asked, strict=True)]
        return _measured(torch.cat(found).numpy(), clip.name, clip.fingerprint)

    def _tifa(self, pictures: Callable[[str], Pixels]) -> dict[str, Measured]:
        judges = self.examiners
        found = answered(self.kept.paper.questions, pictures, judges.answerer, judges.encoder)
        by = f"{judges.answerer.name}, {judges.encoder.name}"
        print_ = joint_fingerprint(judges.answerer.fingerprint, judges.encoder.fingerprint)
        counts = {"tifa": found.counts.sum(1)}
        for column, type_ in enumerate(found.types):
            counts[f"tifa {type_}"] = found.counts[found.counts[:, column, 1] > 0, column]
        return {name: _measured(it[:, 0] / it[:, 1], by, print_) for name, it in counts.items()}

    def geneval(self) -> dict[str, Measured]:
        """The share of right pictures of each prompt, task by task."""
        paper, judges = self.kept.paper, self.examiners
        files, each = self.drawn(OBJECTS), paper.exam.pictures_per_prompt
        right = right_pictures(
            paper.objects,
            lambda number: self._load(files[number * each : (number + 1) * each]),
            judges.detector,
            judges.colours,
            judges.rules,
        )
        by = f"{judges.detector.name}, {judges.colours.name}"
        print_ = joint_fingerprint(judges.detector.fingerprint, judges.colours.fingerprint)
        return {
            f"geneval {task}": _measured(it[:, 0] / it[:, 1], by, print_)
            for task, it in by_task(paper.objects, right).items()
        }

    def time(self) -> Measured:
        """Seconds that a batch takes, protected over unprotected: drawn in turn, since a machine may be
        busier at one time than at another."""
        sampling, captions = self.kept.of.sampling, self.kept.paper.captions
        batch = captions[: sampling.sample_batch_size]

        def seconds(model: Backbone) -> float:
            started = time.monotonic()
            model.generate(batch, range(len(batch)), sampling)
            return time.monotonic() - started

        for model in (self.pristine, self.model):
            seconds(model)  # what the first pass alone costs
        ratios = [seconds(self.model) / seconds(self.pristine) for _ in range(self.kept.paper.exam.timed)]
        return _measured(np.array(ratios), "seconds", "")

    def _features(self, parts: Iterable[Pixels]) -> Tensor:
        return torch.cat([self.examiners.distance(part) for part in parts])

    def _load(self, files: Sequence[Path]) -> Pixels:
        return load(files, self.model.resolution)

    def _loaded(self, files: Sequence[Path]) -> Iterable[Pixels]:
        return (self._load(files[rows]) for rows in batches(len(files), AT_A_TIME))

    def _reference_pictures(self) -> Iterable[Pixels]:
        of = self.kept.paper.references
        return _renders(of) if isinstance(of, int) else self._loaded(of)


def _renders(count: int) -> Iterable[Pixels]:
    """Of the first held-out scenes, some at a time."""
    return (_rendered(range(count)[rows]) for rows in batches(count, AT_A_TIME))


def _rendered(scenes: Sequence[int]) -> Pixels:
    return from_uint8(np.stack([render(held_out_scene(index).scene) for index in scenes]))


def _measured(marks: np.ndarray, extractor: str, fingerprint: str) -> Measured:
    return Measured(tuple(round(float(mark), DIGITS) for mark in marks), extractor, fingerprint)
