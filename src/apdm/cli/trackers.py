"""`--report_to`: a run's figures also in an experiment tracker, by accelerate. None unless asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apdm.benchmark.store import leaves, plain
from apdm.errors import InputError, unknown
from apdm.ranks import first
from apdm.watch import Watch

PROJECT = "apdm"
TRACKED = "logs"  # in the output folder, of those trackers that write files [diffusers' scripts]


def refuse_missing(tracker: str | None) -> None:
    """Raises `InputError` for a tracker that accelerate does not know or that is not installed."""
    if tracker is None:
        return
    from accelerate import tracking

    if tracker not in tracking.LOGGER_TYPE_TO_CLASS:
        raise unknown("tracker", tracker, tracking.LOGGER_TYPE_TO_CLASS)
    if tracker not in map(str, tracking.get_available_trackers()):
        raise InputError(f"{tracker} is not installed", fix=f"pip install {tracker}")


@contextmanager
def reporting(watch: Watch, tracker: str | None, folder: Path, settings: object) -> Iterator[Watch]:
    """`watch`, whose figures `tracker` is told too, as "task/figure"; before them it is told `settings`. Of
    several processes the first tells it."""
    if tracker is None or not first():
        yield watch
        return
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    kind: Any = LOGGER_TYPE_TO_CLASS[tracker]
    told = kind(PROJECT, folder / TRACKED) if kind.requires_logging_directory else kind(PROJECT)
    told.start()
    told.store_init_configuration({name: _simple(value) for name, value in leaves(plain(settings)).items()})

    def both(task: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        watch(task, done, total, figures)
        if figures:
            told.log({f"{task}/{name}": value for name, value in figures.items()}, step=done)

    try:
        yield both
    finally:
        told.finish()


def _simple(value: object) -> object:
    """As trackers take a setting."""
    return value if isinstance(value, bool | int | float | str) else str(value)
