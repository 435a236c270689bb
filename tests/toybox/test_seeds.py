"""The ranges of identity seeds never mix."""

from __future__ import annotations

import pytest

from apdm.errors import InputError
from apdm.toybox.seeds import Purpose

RANGES = {
    "GENERATOR": (0, 200_000),
    "JUDGES": (200_000, 400_000),
    "TUNING": (400_000, 450_000),
    "REPORTED": (450_000, 500_000),
}


def test_the_ranges_are_the_agreed_ones() -> None:
    assert {purpose.name: (purpose.first, purpose.end) for purpose in Purpose} == RANGES


@pytest.mark.parametrize("purpose", Purpose)
def test_a_purpose_takes_its_own_seeds_only(purpose: Purpose) -> None:
    first, end = RANGES[purpose.name]
    assert purpose.seed(0) == first
    assert purpose.seed(end - first - 1) == end - 1
    for seed in (first, end - 1):
        purpose.require(seed)
    for index in (-1, end - first):
        with pytest.raises(InputError, match=f"use a seed from {first} to {end - 1}"):
            purpose.seed(index)


@pytest.mark.parametrize("seed", [0, 199_999, 200_000, 399_999, 400_000, 449_999, 450_000, 499_999])
def test_a_seed_has_one_purpose(seed: int) -> None:
    assert sum(accepts(purpose, seed) for purpose in Purpose) == 1


@pytest.mark.parametrize("seed", [-1, 500_000, 10**9])
def test_other_seeds_have_none(seed: int) -> None:
    assert not any(accepts(purpose, seed) for purpose in Purpose)


def test_the_error_names_the_purpose() -> None:
    with pytest.raises(InputError, match="identity seed 450000 is not one for judges"):
        Purpose.JUDGES.require(450_000)


def accepts(purpose: Purpose, seed: int) -> bool:
    try:
        purpose.require(seed)
    except InputError:
        return False
    return True
