"""Independent jobs side by side: a process each, a share of the cores each, one log.

A network as small as the Toybox's leaves cores waiting for each other at every layer, so that two jobs with
one core each are done sooner than one after the other with two.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

import torch

from apdm.errors import InputError
from apdm.watch import Watch

Job = TypeVar("Job")
Result = TypeVar("Result")

STEP, RESULT, FAILURE = "step", "result", "failure"  # what a process says


def side_by_side(
    work: Callable[[Job, Watch], Result], jobs: Sequence[Job], watch: Watch, *, to_the_end: bool = False
) -> list[Result]:
    """`work(job, watch)` of every job, all at once; the results in the order of `jobs`.

    `work` is a function of a module, and jobs and results can be pickled. The first failure ends all of
    them and is raised here; with `to_the_end` it is raised once the others are done. Raises `InputError` if a
    process is killed.
    """
    threads = max(1, torch.get_num_threads() // len(jobs))
    spawn = get_context("spawn")  # a fork of a process that has run torch's threads can hang
    results: dict[int, Result] = {}
    processes: list[Any] = []
    with ExitStack() as ending:
        heard: dict[Any, int] = {}
        for number, job in enumerate(jobs):
            hears, says = spawn.Pipe(duplex=False)
            process = spawn.Process(target=_work, args=(work, job, says, threads))
            process.start()
            processes.append(process)
            says.close()  # here; when the process ends, its pipe does
            heard[hears] = number
            ending.callback(process.join)
            ending.callback(process.terminate)
        failures: list[BaseException] = []
        while heard and (to_the_end or not failures):
            for hears in wait(list(heard)):
                kind, said = _hear(hears)
                if kind == STEP:
                    watch(*said)
                    continue
                number = heard.pop(hears)
                if kind == FAILURE:
                    failures.append(said)
                else:
                    results[number] = said
        if not heard:
            for process in processes:
                process.join()  # each has said its last word, and may tidy up
        if failures:
            raise failures[0]
    return [results[number] for number in range(len(jobs))]


def _hear(hears: Any) -> tuple[str, Any]:
    try:
        return hears.recv()
    except EOFError:
        return FAILURE, InputError("a process was killed", fix="is there memory enough?")


def _work(work: Callable[[Job, Watch], Result], job: Job, says: Connection, threads: int) -> None:
    """The life of a process. Where nobody hears it any more, it ends at its next step."""

    def watch(task: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        says.send((STEP, (task, done, total, dict(figures))))

    torch.set_num_threads(threads)
    try:
        says.send((RESULT, work(job, watch)))
    except BrokenPipeError:
        return
    except BaseException as error:
        if not isinstance(error, InputError | KeyboardInterrupt):
            error.add_note(traceback.format_exc())  # where it happened does not travel by itself
        says.send((FAILURE, error))
