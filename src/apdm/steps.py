"""How a long loop counts its steps, without knowing whether it is kept on its way and taken up again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from torch import Tensor

State = Mapping[str, Mapping[str, Tensor]]
PROTECTED = "protected"  # a protection's part of the state: the network's weights that its result will have


class Steps(Protocol):
    """The numbers of a loop's steps, 0 to `total` - 1, each asked for when the step before is done.

    `state` is every tensor that steps change, by part and name: the loop's own tensors, no copies. So who
    counts may keep them between two steps, or put back what was kept and begin at the step that comes next.
    Random numbers are no part of it: every step draws from a stream named by its number (`apdm.seeding`).
    """

    def __call__(self, total: int, state: State) -> Iterable[int]: ...


def all_steps(total: int, state: State) -> Iterable[int]:
    """From the first to the last; nothing is kept."""
    return range(total)
