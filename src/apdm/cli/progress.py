"""What a person sees while it runs (bars with rate and ETA) and what stays (a JSON-lines log)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from apdm.watch import Watch


class Rate(ProgressColumn):
    """Steps a second, or seconds a step where that is the larger number."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each")


@contextmanager
def progress(log: Path | None = None) -> Iterator[Watch]:
    """A `Watch` that draws one bar a task on stderr and appends every step to `log`, in which a line that a
    kill has cut off goes first."""
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        console=Console(stderr=True),
    )
    tasks: dict[str, int] = {}
    if log and log.exists():
        log.write_bytes(b"".join(line for line in log.read_bytes().splitlines(True) if line.endswith(b"\n")))
    lines = log.open("a", buffering=1) if log else None  # whole lines, for who follows it

    def watch(task: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        if task not in tasks or bars.tasks[tasks[task]].finished:
            tasks[task] = bars.add_task(task, total=total, figures="")
        shown = "  ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures.items())
        bars.update(tasks[task], completed=done, figures=shown)  # pyright: ignore[reportArgumentType]
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
