"""What a loop counts by, where nobody keeps it."""

from __future__ import annotations

from apdm.steps import all_steps


def test_all_steps_are_all() -> None:
    assert list(all_steps(3, {})) == [0, 1, 2]
