"""Settings out of range are named."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import pytest

from apdm.errors import Diverged, InputError, at_least, positive, unknown


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


@pytest.mark.parametrize("kind", [InputError, Diverged])
def test_an_error_keeps_its_words_between_processes(kind: type[InputError]) -> None:
    error = kind("MODEL is not there", fix="give a folder")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (str(again), again.what, again.fix) == (
        "MODEL is not there: give a folder",
        "MODEL is not there",
        "give a folder",
    )


def test_an_unknown_name_offers_the_nearest_or_the_first_dozen() -> None:
    assert str(unknown("judge", "dyno", ["dino", "clip"])) == "there is no judge 'dyno': did you mean 'dino'?"
    assert str(unknown("judge", "x", ["dino", "clip"])) == "there is no judge 'x': use one of dino, clip"
    assert unknown("subject", "x", map(str, range(13))).fix.endswith("10, 11, ...")
