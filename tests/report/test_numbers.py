"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from apdm.benchmark.record import Figure
from apdm.report.numbers import MINUS, THIN_SPACE, decimal, duration, percent, percent_interval, significant


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (decimal(0.12345), "0.123"),
        (decimal(-0.5), "-0.500"),
        (decimal(-0.0001), "0.000"),
        (decimal(math.nan), "undefined"),
        (significant(0.0123456), "0.0123"),
        (significant(-2e-7), "-2e-07"),
        (significant(math.inf), "∞"),
        (percent(0.876), "88 %"),
        (percent(-0.001), "0 %"),
        (percent(-math.inf), "-∞"),
        (percent_interval(Figure(0.5, -0.25, 1.5, 1)), "-25 to 150 %"),
        (percent_interval(Figure(math.nan, -math.inf, 0.5, 1)), "-∞ to 50 %"),
        (duration(3.14), "3.1 s"),
        (duration(312.4), "5 min 12 s"),
        (duration(119.7), "2 min 0 s"),
        (duration(7380), "2 h 3 min"),
    ],
)
def test_numbers_are_shown_as_people_read_them(shown: str, expected: str) -> None:
    assert shown.replace(THIN_SPACE, " ").replace(MINUS, "-") == expected


def test_a_minus_is_a_minus_sign_and_a_unit_never_stands_alone_on_a_line() -> None:
    assert decimal(-1, 0) == f"{MINUS}1"
    assert percent(-0.5) == f"{MINUS}50{THIN_SPACE}%"
    assert duration(65) == f"1{THIN_SPACE}min 5{THIN_SPACE}s"
