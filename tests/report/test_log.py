"""Curves from a log: averages over bins, and nothing lost silently."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apdm.errors import InputError
from apdm.report.log import binned, read_curves


def write(path: Path, *entries: object) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def test_bins_average_steps_and_values_over_runs_of_equal_length() -> None:
    values = [(float(step), float(10 * step)) for step in (5, 4, 3, 2, 1)]  # out of order on purpose
    assert binned(values, bins=2) == ((2.0, 20.0), (4.5, 45.0))
    assert binned(values, bins=5) == tuple(sorted(values))
    assert binned([]) == ()


@pytest.mark.parametrize(("count", "points"), [(200, 200), (201, 101), (100_001, 200)])
def test_a_curve_has_at_most_200_points(count: int, points: int) -> None:
    assert len(binned([(float(step), 0.0) for step in range(count)])) == points


def test_each_figure_of_each_task_is_a_curve(tmp_path: Path) -> None:
    log = write(
        tmp_path / "log.jsonl",
        {"task": "a", "done": 1, "total": 2, "loss": 4.0, "prior": 1, "time": 9.0},
        {"task": "b", "done": 1, "total": 1, "loss": 5.0},
        {"task": "a", "done": 2, "total": 2, "loss": 3.0, "note": "resumed"},
        {"task": "class images", "done": 1, "total": 1},
    )
    curves = read_curves(log)
    assert [(c.task, c.figure, c.points, c.total) for c in curves] == [
        ("a", "loss", ((1, 4.0), (2, 3.0)), 2),
        ("a", "prior", ((1, 1.0),), 2),
        ("b", "loss", ((1, 5.0),), 1),
    ]


def test_values_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(
        '{"task": "a", "done": 1, "total": 2, "loss": NaN}\n'
        '{"task": "a", "done": 2, "total": 2, "loss": 1.0}\n'
    )
    (curve,) = read_curves(tmp_path / "log.jsonl")
    assert (curve.points, curve.lost) == (((2, 1.0),), 1)


def test_a_last_line_that_was_cut_off_is_passed_over_and_any_other_refused(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", {"task": "a", "done": 1, "total": 2, "loss": 4.0})
    whole = log.read_text()
    log.write_text(whole + '{"task": "a", "do')
    assert len(read_curves(log)) == 1
    log.write_text('{"task": "a", "do\n' + whole)
    with pytest.raises(InputError, match="line 1 is not JSON"):
        read_curves(log)


@pytest.mark.parametrize("entry", [[], {"task": "a", "done": 1}, {"task": "a", "done": "1", "total": 2}])
def test_a_line_without_task_done_and_total_is_refused(entry: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 1 has no task, done and total"):
        read_curves(write(tmp_path / "log.jsonl", entry))


def test_a_run_without_a_log_has_no_curves(tmp_path: Path) -> None:
    assert read_curves(tmp_path / "log.jsonl") == []
