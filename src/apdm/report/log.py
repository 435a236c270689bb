"""The log of a run as curves: one for each task and figure, thinned by averaging."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from apdm.errors import InputError

BINS = 200  # points of a curve; more than a small chart can show
NOT_CURVES = frozenset({"task", "done", "total", "time"})

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Curve:
    """`figure` of `task` over its steps: points (step, mean), of `steps` entries `lost` not finite."""

    task: str
    figure: str
    points: Points
    total: int
    lost: int


def read_curves(path: Path) -> list[Curve]:
    """The curves in a JSON-lines log, in the order of their appearance; none where there is no log.

    A last line that was cut off by an interruption is passed over. Raises `InputError` for any other
    line that is not an object with task, done and total.
    """
    series: dict[tuple[str, str], list[tuple[float, float]]] = {}
    totals: dict[str, int] = {}
    for entry in _entries(path):
        task, done = str(entry["task"]), cast(float, entry["done"])
        totals[task] = max(totals.get(task, 1), cast(int, entry["total"]))
        for figure, value in entry.items():
            if figure not in NOT_CURVES and isinstance(value, int | float):
                series.setdefault((task, figure), []).append((done, value))
    return [_curve(task, figure, values, totals[task]) for (task, figure), values in series.items()]


def _curve(task: str, figure: str, values: Sequence[tuple[float, float]], total: int) -> Curve:
    finite = [point for point in values if math.isfinite(point[1])]
    return Curve(task, figure, binned(finite), total, len(values) - len(finite))


def binned(values: Sequence[tuple[float, float]], bins: int = BINS) -> Points:
    """At most `bins` points: steps and values averaged over runs of equal length, in order of steps."""
    ordered = sorted(values)
    size = math.ceil(len(ordered) / bins)
    runs = [ordered[start : start + size] for start in range(0, len(ordered), size or 1)]
    return tuple((_mean([x for x, _ in run]), _mean([y for _, y in run])) for run in runs)


def _mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers)


def _entries(path: Path) -> list[Mapping[str, object]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    entries: list[Mapping[str, object]] = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = cast(object, json.loads(line))
        except ValueError as error:
            if number == len(lines):
                break
            raise InputError(
                f"{path}, line {number} is not JSON ({error})", fix="repair or remove it"
            ) from error
        if not _is_entry(entry):
            raise InputError(f"{path}, line {number} has no task, done and total", fix="repair or remove it")
        entries.append(cast("dict[str, object]", entry))
    return entries


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    values = cast("dict[str, object]", entry)
    return "task" in values and all(type(values.get(name)) in (int, float) for name in ("done", "total"))
