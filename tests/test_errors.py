"""Settings out of range are named."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import pytest

from apdm.errors import InputError, at_least, nearest, positive


@dataclass(frozen=True)
class Settings:
    steps: int = 1
    rate: float = 0.5


@pytest.mark.parametrize("steps", [0, -3, float("nan")])
def test_what_is_below_its_least_value_is_named(steps: int) -> None:
    at_least(Settings(steps=1), steps=1)
    with pytest.raises(InputError, match=f"steps is {steps}: give 1 or more"):
        at_least(Settings(steps=steps), steps=1)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_what_is_not_positive_is_named(rate: float) -> None:
    positive(Settings(rate=0.5), "steps", "rate")
    with pytest.raises(InputError, match=f"rate is {rate}: give more than 0"):
        positive(Settings(rate=rate), "steps", "rate")


def test_an_error_keeps_its_words_between_processes() -> None:
    error = InputError("MODEL is not there", fix="give a folder")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.what, again.fix) == (
        "MODEL is not there: give a folder",
        "MODEL is not there",
        "give a folder",
    )


def test_the_nearest_name_is_offered_or_all_of_them() -> None:
    assert nearest("simca", ["aspl", "simac"]) == "did you mean 'simac'?"
    assert nearest("other", ["aspl", "simac"]) == "use one of aspl, simac"
