"""The one error that a user is meant to see."""

from __future__ import annotations


class InputError(Exception):
    """Something the user gave cannot be used. Commands print it as one line and exit with 2.

    `what` names the thing and where it is; `fix` says what to do about it.
    """

    def __init__(self, what: str, *, fix: str) -> None:
        super().__init__(f"{what}: {fix}")
        self.what = what
        self.fix = fix
