"""A run's folder as the report reads it, with pictures that can be told apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from apdm.benchmark.record import (
    PICTURE_SETS,
    BeforeAfter,
    Figure,
    Result,
    Similarity,
    SubjectResult,
    write_result,
)
from apdm.direction import Direction

MakeSubject = Callable[..., SubjectResult]
MakeRun = Callable[..., Path]


@pytest.fixture
def make_subject() -> MakeSubject:
    """A subject whose attack took (83 %) and whose protection holds (88 %), unless told otherwise."""

    def make(
        name: str = "rex",
        strength: tuple[float, float, float] = (0.83, 0.71, 0.93),
        rate: tuple[float, float, float] = (0.88, 0.78, 0.96),
        kid: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None,
        class_noun: str = "dog",
    ) -> SubjectResult:
        cosines = (0.86, 0.8, 0.42, 0.35, 0.31, 0.06)
        return SubjectResult(
            name=name,
            class_noun=class_noun,
            similarity=Similarity(*(Figure(v, v - 0.02, v + 0.03, 16, "eye") for v in cosines)),
            attack_strength=Figure(*strength, 32),
            protection_rate=Figure(*rate, 32, None, Direction.HIGHER_PROTECTS),
            seconds={"protect": 312.4},
            kid=BeforeAfter(Figure(*kid[0], 64), Figure(*kid[1], 64)) if kid else None,
        )

    return make


@pytest.fixture
def make_run(tmp_path: Path, make_subject: MakeSubject) -> MakeRun:
    """Writes a run with `count` pictures a set; the pictures of one set differ in red from 0 upwards."""

    def make(*subjects: SubjectResult, count: int = 2, size: int = 4, toy: bool = True) -> Path:
        chosen = subjects or (make_subject(),)
        for subject in chosen:
            for place, name in enumerate(PICTURE_SETS):
                folder = tmp_path / "pictures" / subject.name / name
                folder.mkdir(parents=True)
                for number in range(count):
                    Image.new("RGB", (size, size), (number, place, 0)).save(folder / f"{number:02d}.png")
        settings = {"seed": 7, "protect": {"beta": 1.0}}
        write_result(Result(chosen, toy, ("DreamBooth <b>",), settings, {"torch": "2.0"}), tmp_path)
        entries = [{"task": "protect rex", "done": k, "total": 9, "loss": 1.0 / k} for k in range(1, 10)]
        (tmp_path / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        return tmp_path

    return make
