"""A loop tells what it does; who listens may give it another name."""

from __future__ import annotations

from collections.abc import Mapping

from apdm.watch import silent, titled


def test_a_title_replaces_the_task_and_nothing_else() -> None:
    heard: list[tuple[str, int, int, dict[str, float]]] = []

    def watch(task: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        heard.append((task, done, total, dict(figures)))

    titled(watch, "attack dog 0")("personalize", 3, 10, {"loss": 0.5})
    assert heard == [("attack dog 0", 3, 10, {"loss": 0.5})]


def test_silence_is_a_watch() -> None:
    assert silent("protect", 1, 2, {}) is None
