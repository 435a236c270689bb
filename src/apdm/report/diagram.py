"""Curves over one scale, panel beside panel, as an SVG that stands by itself in a page or a README."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from apdm.report.charts import Axis

WIDE, HIGH = 300, 220  # of a panel, without its scales
LEFT, GAP, TOP, BOTTOM = 60, 80, 34, 74
TONES = ("#000", "#c33", "#27c", "#283")  # of the first curve, the second, ...
STYLE = "font: 12px sans-serif; background: white"


@dataclass(frozen=True)
class Mark:
    """A measured place, with its 95 % interval upwards and what is written beside it."""

    x: float
    y: float
    interval: tuple[float, float] | None = None
    label: str = ""


@dataclass(frozen=True)
class Line:
    """Marks, joined in their order; those of figures that are not defined are left out."""

    name: str
    marks: Sequence[Mark]


@dataclass(frozen=True)
class Panel:
    """Lines over the same two scales, named `across` and `upwards`; `bars` are values that a line should
    reach, as a dashed rule each."""

    title: str
    across: str
    upwards: str
    lines: Sequence[Line]
    bars_across: Sequence[float] = ()
    bars_upwards: Sequence[float] = ()


def diagram(panels: Sequence[Panel]) -> str:
    """The file's text. Lines of the same place in their panels have the same tone, and one legend."""
    drawn = Markup("").join(
        Markup('<g transform="translate({} {})">{}</g>').format(LEFT + number * (WIDE + GAP), TOP, _panel(it))
        for number, it in enumerate(panels)
    )
    size = f"0 0 {LEFT + len(panels) * (WIDE + GAP) - GAP + 30} {TOP + HIGH + BOTTOM}"
    return Markup('<svg xmlns="http://www.w3.org/2000/svg" viewBox="{}" style="{}">{}</svg>\n').format(
        size, STYLE, drawn + _legend(panels[0].lines)
    )


def _panel(panel: Panel) -> Markup:
    marks = [mark for line in panel.lines for mark in line.marks]
    ends = [end for mark in marks for end in mark.interval or ()]
    across = Axis.around([*(mark.x for mark in marks), *panel.bars_across])
    upwards = Axis.around([*(mark.y for mark in marks), *ends, *panel.bars_upwards])
    parts = [
        Markup('<path d="M0 0V{0}H{1}" fill="none" stroke="#888"/>').format(HIGH, WIDE),
        _text(WIDE / 2, -12, panel.title),
        _text(WIDE / 2, HIGH + 36, panel.across),
        Markup('<text transform="translate({} {}) rotate(-90)" text-anchor="middle">{}</text>').format(
            -44, HIGH / 2, panel.upwards
        ),
    ]
    parts += [_text(_x(across, tick), HIGH + 18, f"{tick:g}") for tick in across.ticks(5)]
    parts += [_text(-6, _y(upwards, tick) + 4, f"{tick:g}", "end") for tick in upwards.ticks(5)]
    parts += [_rule(_x(across, bar), 0, _x(across, bar), HIGH) for bar in panel.bars_across]
    parts += [_rule(0, _y(upwards, bar), WIDE, _y(upwards, bar)) for bar in panel.bars_upwards]
    for number, line in enumerate(panel.lines):
        parts += _line(line, across, upwards, TONES[number % len(TONES)])
    return Markup("").join(parts)


def _line(line: Line, across: Axis, upwards: Axis, tone: str) -> list[Markup]:
    marks = [mark for mark in line.marks if not math.isnan(mark.x + mark.y)]
    places = [(_x(across, mark.x), _y(upwards, mark.y)) for mark in marks]
    joined = " ".join(f"{x},{y}" for x, y in places)
    parts = [Markup('<polyline points="{}" fill="none" stroke="{}"/>').format(joined, tone)]
    for (x, y), mark in zip(places, marks, strict=True):
        parts.append(Markup('<circle cx="{}" cy="{}" r="3" fill="{}"/>').format(x, y, tone))
        if mark.interval:
            low, high = (_y(upwards, end) for end in mark.interval)
            parts.append(Markup('<path d="M{} {}V{}" stroke="{}" opacity=".4"/>').format(x, low, high, tone))
        if mark.label:
            parts.append(_text(x + 5, y - 5, mark.label, "start", tone))
    return parts


def _legend(lines: Sequence[Line]) -> Markup:
    """Under the first panel's scale."""
    place = f"translate({LEFT} {TOP + HIGH + 60})"
    names = Markup(" ").join(
        Markup('<tspan fill="{}">● {} </tspan>').format(TONES[number % len(TONES)], line.name)
        for number, line in enumerate(lines)
    )
    return Markup('<text transform="{}">{}</text>').format(place, names)


def _x(axis: Axis, value: float) -> float:
    return round(axis.at(value) * WIDE / 100, 1)


def _y(axis: Axis, value: float) -> float:
    return round(HIGH - axis.at(value) * HIGH / 100, 1)


def _rule(x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<path d="M{} {}L{} {}" stroke="#888" stroke-dasharray="4 3"/>').format(x1, y1, x2, y2)


def _text(x: float, y: float, words: str, anchor: str = "middle", tone: str = "#000") -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}" fill="{}">{}</text>').format(
        x, y, anchor, tone, words
    )
