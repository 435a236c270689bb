"""Drawings put things where the numbers say."""

from __future__ import annotations

import math
import re

import pytest

from apdm.benchmark.record import Figure
from apdm.report.charts import Axis, curve_line, guide_labels, interval_mark, tick_labels


def test_an_axis_maps_its_ends_to_0_and_100() -> None:
    axis = Axis(-1, 3)
    assert [axis.at(value) for value in (-1, 0, 3)] == [0, 25, 100]
    assert (axis.at(-math.inf), axis.at(math.inf)) == (0, 100)


def test_an_axis_around_values_has_a_margin_and_never_no_length() -> None:
    assert Axis.around([2, math.inf, 0, math.nan]) == Axis(-0.1, 2.1)  # 5 % of 2 on both sides
    assert Axis.around([3, 3]) == Axis(2.5, 3.5)
    assert Axis.around([math.nan]) == Axis(-0.5, 0.5)


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis(0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (Axis(-0.1, 2.1), [0, 0.5, 1, 1.5, 2]),
        (Axis(37, 61), [40, 45, 50, 55, 60]),
        (Axis(0.0081, 0.0119), [0.009, 0.01, 0.011]),
    ],
)
def test_ticks_are_round_numbers_inside_the_axis(axis: Axis, ticks: list[float]) -> None:
    assert axis.ticks() == pytest.approx(ticks)


def test_a_mark_shows_value_interval_and_guides() -> None:
    drawn = interval_mark(Figure(0.5, 0.25, 1.0, 3), Axis(0, 1), "protected", [0.1, 0.9])
    assert '<circle cx="50.0%"' in drawn
    assert '<line class="interval" x1="25.0%" x2="100.0%"' in drawn
    assert re.findall(r'class="guide" x1="([\d.]+)%"', drawn) == ["10.0", "90.0"]
    assert "guide" not in interval_mark(Figure(0.5, 0.25, 1.0, 3), Axis(0, 1), "protected", [])


def test_an_undefined_figure_has_an_interval_over_all_and_no_dot() -> None:
    drawn = interval_mark(Figure(math.nan, -math.inf, math.inf, 3), Axis(0, 1), "plain", [])
    assert 'x1="0.0%" x2="100.0%"' in drawn
    assert "circle" not in drawn


def test_labels_are_escaped_and_guides_lean_away_from_each_other() -> None:
    drawn = guide_labels(Axis(0, 1), [(0.6, "<real>"), (0.4, "class")])
    assert re.findall(r'x="([\d.]+)%".*?anchor="(\w+)">(.*?)</text>', drawn) == [
        ("40.0", "end", "class"),
        ("60.0", "start", "&lt;real&gt;"),
    ]
    assert tick_labels(Axis(0, 1), [], str) == ""


def test_a_curve_starts_low_left_and_rises_upwards() -> None:
    assert 'points="0.00,100.00 50.00,0.00"' in curve_line(((0, 1), (5, 3)), Axis(0, 10), Axis(1, 3))
