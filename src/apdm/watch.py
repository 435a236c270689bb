"""How a long loop tells what it is doing, without knowing who listens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Watch(Protocol):
    """Called at the start of `task` (done = 0) and after each step: `done` of `total` steps, with the
    step's figures."""

    def __call__(self, task: str, done: int, total: int, figures: Mapping[str, float]) -> None: ...


def silent(task: str, done: int, total: int, figures: Mapping[str, float]) -> None:
    """Nobody listens."""


def titled(watch: Watch, title: str) -> Watch:
    """`watch` with tasks named by `title`, for telling two runs of one loop apart."""

    def told(task: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        watch(title, done, total, figures)

    return told
