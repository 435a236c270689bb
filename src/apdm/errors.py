"""The one error that a user is meant to see."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import partial


class InputError(Exception):
    """Something the user gave cannot be used. Commands print it as one line and exit with 2.

    `what` names the thing and where it is; `fix` says what to do about it.
    """

    def __init__(self, what: str, *, fix: str) -> None:
        super().__init__(what, fix)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}: {self.fix}"

    def __reduce__(self) -> tuple[partial[InputError], tuple[()]]:
        """How it travels between processes; the inherited way knows no keywords."""
        return partial(type(self), self.what, fix=self.fix), ()


class Diverged(InputError):
    """Settings with which a loop's numbers ran away: what it has made since is of no use."""


def nearest(name: str, known: Iterable[str]) -> str:
    """What to do about a `name` that is none of the `known`: take the nearest, or one of the first dozen."""
    names = list(known)
    near, more = get_close_matches(name, names, n=1), ", ..." if len(names) > 12 else ""
    return f"did you mean '{near[0]}'?" if near else f"use one of {', '.join(names[:12])}{more}"


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Of `name`, which is no `kind` there is."""
    return InputError(f"there is no {kind} '{name}'", fix=nearest(name, known))


def at_least(settings: object, **least: int) -> None:
    """Raises `InputError` for the first named field of `settings` that is below its least value."""
    for name, lowest in least.items():
        value = getattr(settings, name)
        if not value >= lowest:
            raise InputError(f"{name} is {value}", fix=f"give {lowest} or more")


def positive(settings: object, *names: str) -> None:
    """Raises `InputError` for the first named field of `settings` that is not above zero."""
    for name in names:
        value = getattr(settings, name)
        if not value > 0:
            raise InputError(f"{name} is {value}", fix="give more than 0")


def one_line(error: BaseException) -> str:
    """What `error` says, short enough to stand in a sentence."""
    return " ".join(str(error).split())[:200]
