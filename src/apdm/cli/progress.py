"""What a person sees while it runs (bars with rate and ETA) and what stays (a JSON-lines log)."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from rich import filesize
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from apdm.benchmark.provenance import peak_memory
from apdm.benchmark.store import drop_half_line
from apdm.ranks import first
from apdm.watch import Watch, silent

BARS = 16  # at once: what a window does not hold is cut off, the last of them first; our choice


class Rate(ProgressColumn):
    """Steps a second, or seconds a step where that is the larger number."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each")


class Memory(ProgressColumn):
    """The most memory held so far: on a GPU, of tensors there, else of the process."""

    def render(self, task: Task) -> Text:
        gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
        peaks = [peak_memory(torch.device("cuda", number)) for number in gpus]
        peak = max((peak for peak in peaks if peak), default=peak_memory(torch.device("cpu")))
        return Text(filesize.decimal(peak) if peak else "")


@contextmanager
def progress(log: Path | None = None, *, memory: bool = True) -> Iterator[Watch]:
    """A `Watch` that draws one bar a task on stderr, of those that are done the last, and appends every step
    to `log`, in which a line that a kill has cut off goes first. Of several processes that share a job the
    first tells of it. `memory` is this process's: leave it out where others do the work."""
    if not first():
        yield silent
        return
    console = Console(stderr=True)
    kept = partial(Column, no_wrap=True)  # in a narrow window it is figures that wrap
    bars = Progress(
        TextColumn("{task.description}", markup=False),  # a folder may be called [/x]
        BarColumn(bar_width=10, table_column=kept()),
        MofNCompleteColumn(table_column=kept()),
        Rate(kept()),
        TimeElapsedColumn(table_column=kept()),
        TextColumn("left", table_column=kept()),
        TimeRemainingColumn(table_column=kept()),
        *([Memory(kept())] if memory else []),
        TextColumn("{task.fields[figures]}", table_column=Column()),
        console=console,
        auto_refresh=console.is_terminal or console.is_jupyter,  # nobody sees them change in a file
    )
    tasks: dict[str, TaskID] = {}
    done_with: deque[TaskID] = deque()
    if log:
        drop_half_line(log)
    lines = log.open("a", buffering=1) if log else None  # whole lines, for who follows it

    def watch(task: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        if task not in tasks:
            while done_with and len(bars.tasks) >= BARS:
                bars.remove_task(done_with.popleft())
            tasks[task] = bars.add_task(task, total=total, figures="")
        shown = "  ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures.items())
        bars.update(tasks[task], completed=done, figures=shown)
        if done >= total:
            done_with.append(tasks.pop(task))
        if lines:
            lines.write(
                json.dumps(
                    {"time": round(time.time(), 2), "task": task, "done": done, "total": total, **figures}
                )
                + "\n"
            )

    try:
        with bars:
            yield watch
    finally:
        if lines:
            lines.close()
