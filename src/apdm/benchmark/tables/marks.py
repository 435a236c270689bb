"""Marks of models in an exam: their mean over models with its interval, and their change, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apdm.benchmark.tables.examiners import Verbatim
from apdm.benchmark.tables.outcome import Measured, Outcome
from apdm.benchmark.tables.table import Entry
from apdm.metrics.base import Interval
from apdm.metrics.statistics import crossed_bootstrap, halves_interval

BETTER = {"fid": "lower", "kid": "lower", "clip": "higher", "tifa": "higher", "geneval": "higher"}
NAMES = {"fid": "FID", "kid": "KID", "clip": "CLIP score", "tifa": "TIFA, %", "geneval": "GenEval"}
SCALES = {"tifa": 100.0}  # as it is published
DISTANCES = ("fid", "kid")
NOWHERE = Entry(None)


def mark(metric: str, exams: Sequence[Outcome], against: Outcome | None = None) -> Entry:
    """The models' mean mark, or its difference to that of `against`, pair by pair."""
    if not exams:
        return NOWHERE
    if metric in DISTANCES:
        distances = np.stack([values(it.measured[metric]) for it in exams])
        if against:
            distances = distances - values(against.measured[metric])
        pictures = sum(len(it.measured["clip"].values) for it in exams)
        return entry_of(halves_interval(distances, seed=0), pictures)
    models = [against or exams[0], *exams]
    tasks = [[values(it.measured[task]) for it in models] for task in tasks_of(metric, exams[0])]

    def mean(was: np.ndarray, now: np.ndarray) -> float:
        return float((now - was if against else now).mean())

    scale = SCALES.get(metric.split()[0], 1.0)
    scaled = [scale * np.stack(task, axis=1)[..., None] for task in tasks]
    counted = sum(len(marks) for task in tasks for marks in task[1:])
    return entry_of(crossed_bootstrap(mean, *scaled, seed=0), counted)


def tasks_of(metric: str, exam: Outcome) -> list[str]:
    """What a mark is the mean of: GenEval's tasks, of any other itself."""
    return parts("geneval", exam) if metric == "geneval" else [metric]


def parts(metric: str, exam: Outcome) -> list[str]:
    """GenEval's marks of each task, or TIFA's of each element type, by name."""
    return [name for name in exam.measured if name.startswith(f"{metric} ")]


def named(metric: str, exam: Outcome) -> str:
    """With its judge: a mark is compared with marks of the same one only."""
    return f"{NAMES[metric]} ({given_by(tasks_of(metric, exam)[0], exam)})"


def given_by(name: str, exam: Outcome) -> str:
    """The judges behind the mark of this name."""
    judges = exam.measured[name].extractor.split(", ")
    return ", ".join(it for it in dict.fromkeys(judges) if it != Verbatim.name)


def values(measured: Measured) -> np.ndarray:
    return np.array([value for value in measured.values if value is not None])


def entry_of(interval: Interval, n: int) -> Entry:
    return Entry(interval.value, interval.low, interval.high, n)
