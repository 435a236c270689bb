"""A figure that stands by itself: places by hand, and that it is XML."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from apdm.report.diagram import HIGH, WIDE, Line, Mark, Panel, diagram

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*panels: Panel) -> ElementTree.Element:
    return ElementTree.fromstring(diagram(panels))


def test_marks_lie_where_their_scale_has_them() -> None:
    """The scales begin a twentieth before the first mark and end as much after the last."""
    line = Line("rate", [Mark(0, 1), Mark(10, 3), Mark(5, 2)])
    (panel,) = drawn(Panel("", "x", "y", [line])).findall(f"{SVG}g")
    dots = [(float(dot.get("cx", "")), float(dot.get("cy", ""))) for dot in panel.iter(f"{SVG}circle")]
    near, far = 0.05 / 1.1, 1.05 / 1.1
    assert dots == [
        pytest.approx((near * WIDE, far * HIGH), abs=0.1),
        pytest.approx((far * WIDE, near * HIGH), abs=0.1),
        pytest.approx((WIDE / 2, HIGH / 2), abs=0.1),
    ]
    joined = next(panel.iter(f"{SVG}polyline")).get("points", "")
    assert joined == " ".join(f"{x},{y}" for x, y in dots)


def test_bars_and_intervals_are_inside() -> None:
    """Upwards from .1 to 1, across from 1 to 1.5, each with a twentieth before and after."""
    line = Line("rate", [Mark(1, 0.2, (0.1, 0.9))])
    (panel,) = drawn(Panel("", "x", "y", [line], [1.5], [1.0])).findall(f"{SVG}g")
    paths = [path.get("d", "") for path in panel.iter(f"{SVG}path")]
    across, upwards = 1.05 / 1.1 * WIDE, 0.05 / 1.1 * HIGH
    assert f"M{across:.1f} 0L{across:.1f} {HIGH}" in paths
    assert f"M0 {upwards:.1f}L{WIDE} {upwards:.1f}" in paths
    low, high = ((1.045 - end) / 0.99 * HIGH for end in (0.1, 0.9))
    assert f"M{WIDE - across:.1f} {low:.1f}V{high:.1f}" in paths


def test_what_is_not_defined_is_left_out() -> None:
    nowhere = Mark(5, math.nan, (math.nan, math.nan), "no rate")
    line = Line("rate", [Mark(0, 1), nowhere, Mark(10, 3)])
    (panel,) = drawn(Panel("", "x", "y", [line])).findall(f"{SVG}g")
    assert len(list(panel.iter(f"{SVG}circle"))) == 2
    assert "nan" not in ElementTree.tostring(panel, "unicode")


def test_panels_share_a_legend_and_words_are_escaped() -> None:
    lines = [Line("a < b", [Mark(0, 0, label="&")]), Line("c", [Mark(1, 1)])]
    root = drawn(Panel("first", "x", "y", lines), Panel("second", "x", "y", lines))
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert {"first", "second", "&"} <= set(words)
    assert [name.text for name in root.iter(f"{SVG}tspan")] == ["● a < b ", "● c "]
    tones = [name.get("fill") for name in root.iter(f"{SVG}tspan")]
    assert {dot.get("fill") for dot in root.iter(f"{SVG}circle")} == set(tones)
    assert len(set(tones)) == 2


def test_ticks_are_written_as_people_write_them() -> None:
    (panel,) = drawn(Panel("", "x", "y", [Line("", [Mark(0, 0), Mark(1200, 0.7)])])).findall(f"{SVG}g")
    words = {text.text for text in panel.iter(f"{SVG}text")}
    assert {"0", "500", "1000", "0.2", "0.6"} <= words
