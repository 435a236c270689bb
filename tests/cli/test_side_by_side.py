"""Jobs in processes of their own: results in order, every step told, the first failure ends all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from apdm.cli.side_by_side import side_by_side
from apdm.errors import InputError
from apdm.watch import Watch, silent

FOREVER = 60  # seconds; longer than any of these tests


def first_is_slower(job: int, watch: Watch) -> tuple[int, int, int]:
    for step in range(3):
        watch(f"job {job}", step + 1, 3, {"loss": job / 2})
    time.sleep(0.5 if job == 1 else 0)
    return job, os.getpid(), torch.get_num_threads()


def first_fails(job: int, watch: Watch) -> None:
    if job == 1:
        raise InputError("job 1 diverged", fix="lower its rate")
    time.sleep(FOREVER)


def first_is_killed(job: int, watch: Watch) -> None:
    if job == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(FOREVER)


def first_breaks(job: int, watch: Watch) -> None:
    if job == 1:
        raise ZeroDivisionError("by none")
    time.sleep(FOREVER)


def first_dies_then_the_other_ends(job: int, watch: Watch) -> str:
    if job == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.5)
    watch("the other", 1, 1, {})
    return "done"


def all_report_fast(job: int, watch: Watch) -> None:
    started = time.monotonic()
    while time.monotonic() - started < FOREVER:
        watch("fast", 1, 2, {})


def test_results_come_in_the_order_of_the_jobs_and_all_steps_are_told() -> None:
    told: list[tuple[str, int, int, float]] = []

    def watch(task: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        told.append((task, done, total, figures["loss"]))

    results = side_by_side(first_is_slower, [1, 2], watch)
    assert [job for job, _, _ in results] == [1, 2]
    assert sorted(told) == [(f"job {job}", step, 3, job / 2) for job in (1, 2) for step in (1, 2, 3)]
    processes = {process for _, process, _ in results}
    assert len(processes) == 2
    assert os.getpid() not in processes
    share = max(1, torch.get_num_threads() // 2)
    assert [threads for _, _, threads in results] == [share, share]


@pytest.mark.parametrize(
    ("work", "error", "words"),
    [
        (first_fails, InputError, "job 1 diverged: lower its rate"),
        (first_is_killed, InputError, "a process was killed"),
        (first_breaks, ZeroDivisionError, "by none"),
    ],
)
def test_one_failure_ends_all_and_keeps_its_words(work, error, words) -> None:
    started = time.monotonic()
    with pytest.raises(error, match=words):
        side_by_side(work, [1, 2], silent)
    assert time.monotonic() - started < FOREVER / 2


def test_a_watch_that_fails_ends_all() -> None:
    def full(task: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        raise OSError("the disk is full")

    started = time.monotonic()
    with pytest.raises(OSError, match="the disk is full"):
        side_by_side(all_report_fast, [1, 2], full)
    assert time.monotonic() - started < FOREVER / 2


def test_to_the_end_a_failure_is_raised_once_the_others_are_done(heard) -> None:
    with pytest.raises(InputError, match="a process was killed"):
        side_by_side(first_dies_then_the_other_ends, [1, 2], heard, to_the_end=True)
    assert heard.steps == [("the other", 1, 1)]


def test_nothing_goes_on_when_the_program_is_killed(tmp_path: Path) -> None:
    """Each process leaves its number; a process that is gone cannot be sent signal 0."""
    script = tmp_path / "script.py"
    script.write_text(KILLED)
    program = subprocess.Popen([sys.executable, script], cwd=tmp_path, stderr=subprocess.DEVNULL)
    numbers: list[int] = []
    while len(numbers) < 2:
        time.sleep(0.1)
        assert program.poll() is None
        numbers = [int(path.name) for path in tmp_path.glob("[0-9]*")]
    program.terminate()
    program.wait()
    ends = time.monotonic() + FOREVER / 2
    while any(alive(number) for number in numbers):
        assert time.monotonic() < ends
        time.sleep(0.1)


def alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{number}/stat")
    return not state.exists() or state.read_text().split(") ")[1][0] != "Z"


KILLED = """
import os, time
from pathlib import Path
from apdm.cli.side_by_side import side_by_side
from apdm.watch import silent

def work(job, watch):
    Path(str(os.getpid())).touch()
    for step in range(600):
        watch("slow", step, 600, {})
        time.sleep(0.1)

if __name__ == "__main__":
    side_by_side(work, [1, 2], silent)
"""
