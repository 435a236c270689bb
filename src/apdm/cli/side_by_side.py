"""Independent jobs side by side: a process each, a share of the cores each, one log.

Small networks leave half of two cores idle, waiting for each other at every layer: two protections with
one thread each take about two thirds of the time that they take one after the other with two threads each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import SimpleQueue, active_children, get_context
from typing import TypeVar

import torch

from apdm.watch import Watch

Job = TypeVar("Job")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Job, Watch], Result], jobs: Sequence[Job], watch: Watch) -> list[Result]:
    """`work(job, watch)` of every job, all at once; the results in the order of `jobs`.

    `work` is a function of a module, and jobs and results can be sent between processes. The first
    failure ends all of them and is raised here.
    """
    processes = get_context("spawn")  # a fork of a process that has run torch's threads can hang
    steps = processes.SimpleQueue()
    threads = max(1, torch.get_num_threads() // len(jobs))
    with ProcessPoolExecutor(len(jobs), processes, _begin, (steps, threads)) as pool:
        running = [pool.submit(_watched, work, job) for job in jobs]
        for one in running:
            one.add_done_callback(lambda _: steps.put(None))
        try:
            for _ in running:
                for step in iter(steps.get, None):
                    watch(*step)
                for one in running:
                    if one.done():
                        one.result()  # raises what the job raised
        except BaseException:
            for process in active_children():
                process.terminate()
            raise
        return [one.result() for one in running]


_steps: SimpleQueue | None = None  # of this process, if it is one of the side-by-side ones


def _begin(steps: SimpleQueue, threads: int) -> None:
    global _steps
    _steps = steps
    torch.set_num_threads(threads)


def _watched(work: Callable[[Job, Watch], Result], job: Job) -> Result:
    assert _steps is not None, "began without its queue"
    send = _steps.put
    return work(job, lambda task, done, total, figures: send((task, done, total, dict(figures))))
