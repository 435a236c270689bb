"""Jobs in processes of their own: results in order, every step told, the first failure ends all."""

from __future__ import annotations

import os
import time

import pytest
import torch

from apdm.cli.side_by_side import side_by_side
from apdm.errors import InputError
from apdm.watch import Watch, silent


def slower_first(job: int, watch: Watch) -> tuple[int, int, int]:
    for step in range(3):
        watch(f"job {job}", step + 1, 3, {"loss": job / 2})
    time.sleep(0.5 if job == 1 else 0)
    return job, os.getpid(), torch.get_num_threads()


def fails_or_never_ends(job: int, watch: Watch) -> None:
    if job == 1:
        raise InputError("job 1 diverged", fix="lower its rate")
    time.sleep(600)


def test_results_come_in_the_order_of_the_jobs_and_all_steps_are_told() -> None:
    told: list[tuple[str, int, int, float]] = []
    results = side_by_side(
        slower_first,
        [1, 2],
        lambda task, done, total, figures: told.append((task, done, total, figures["loss"])),
    )
    assert [job for job, _, _ in results] == [1, 2]
    assert sorted(told) == [(f"job {job}", step, 3, job / 2) for job in (1, 2) for step in (1, 2, 3)]
    processes = {process for _, process, _ in results}
    assert len(processes) == 2
    assert os.getpid() not in processes
    share = max(1, torch.get_num_threads() // 2)
    assert [threads for _, _, threads in results] == [share, share]


def test_one_failure_ends_all_and_keeps_its_words() -> None:
    started = time.monotonic()
    with pytest.raises(InputError, match="job 1 diverged: lower its rate"):
        side_by_side(fails_or_never_ends, [1, 2], silent)
    assert time.monotonic() - started < 300
