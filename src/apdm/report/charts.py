"""Small drawings in SVG. Positions across are in per cent, so text keeps its size at any width;
colours come from the page's style sheet, so they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from apdm.benchmark.record import Figure
from apdm.report.log import Points

MARGIN = 0.05  # of an axis beyond its outermost mark, on both sides


@dataclass(frozen=True)
class Axis:
    """A linear scale from `low` to `high`."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float]) -> Axis:
        """The axis that shows all finite `values` with a margin; one unit long where they are equal."""
        known = [value for value in values if math.isfinite(value)] or [0.0]
        low, high = min(known), max(known)
        pad = MARGIN * (high - low) or 0.5
        return cls(low - pad, high + pad)

    def at(self, value: float) -> float:
        """The place of `value`: 0 to 100 from low to high; an infinite one is at the end."""
        inside = min(max(value, self.low), self.high)
        return round(100 * (inside - self.low) / (self.high - self.low), 3)

    def ticks(self, most: int = 5) -> list[float]:
        """Up to `most` round numbers on the axis: multiples of 1, 2 or 5 times a power of ten."""
        magnitude = 10.0 ** math.floor(math.log10((self.high - self.low) / most))
        step = next(s * magnitude for s in (1, 2, 5, 10) if (self.high - self.low) / (s * magnitude) <= most)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [number * step for number in range(first, last + 1)]


def interval_mark(figure: Figure, axis: Axis, tone: str, guides: Sequence[float]) -> Markup:
    """A dot with its interval on the axis; `guides` are values marked by thin upright lines."""
    dot = (
        ""
        if math.isnan(figure.value)
        else Markup('<circle cx="{}%" cy="50%" r="5"/>').format(axis.at(figure.value))
    )
    return Markup(
        '<svg class="mark {}" aria-hidden="true">{}'
        '<line class="interval" x1="{}%" x2="{}%" y1="50%" y2="50%"/>{}</svg>'
    ).format(tone, _guides([axis.at(g) for g in guides]), axis.at(figure.low), axis.at(figure.high), dot)


def _guides(places: Sequence[float]) -> Markup:
    """Upright lines at the places and a track from the first to the last."""
    if not places:
        return Markup("")
    track = Markup('<line class="track" x1="{}%" x2="{}%" y1="50%" y2="50%"/>').format(
        min(places), max(places)
    )
    upright = Markup('<line class="guide" x1="{0}%" x2="{0}%" y1="0" y2="100%"/>')
    return track + Markup("").join(upright.format(place) for place in places)


def tick_labels(axis: Axis, ticks: Sequence[float], show: Callable[[float], str]) -> Markup:
    """Numbers under (or over) the axis, each centred on its place."""
    return _labels([(axis.at(tick), "middle", show(tick)) for tick in ticks])


def guide_labels(axis: Axis, guides: Sequence[tuple[float, str]]) -> Markup:
    """The names of the first and the last guide, written away from each other where there is room."""
    places = sorted((axis.at(value), label) for value, label in guides)
    left = [(x, "end" if x > 25 else "start", label) for x, label in places[:1]]
    right = [(x, "start" if x < 75 else "end", label) for x, label in places[1:]]
    return _labels(left + right)


def _labels(labels: Sequence[tuple[float, str, str]]) -> Markup:
    if not labels:
        return Markup("")
    texts = Markup("").join(
        Markup('<text x="{}%" y="12" text-anchor="{}">{}</text>').format(*label) for label in labels
    )
    return Markup('<svg class="labels" aria-hidden="true">{}</svg>').format(texts)


def curve_line(points: Points, across: Axis, upwards: Axis) -> Markup:
    """The curve through `points`, stretched over whatever box it is put in."""
    path = " ".join(f"{across.at(x):.2f},{100 - upwards.at(y):.2f}" for x, y in points)
    return Markup(
        '<svg class="curve" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
        '<polyline points="{path}" vector-effect="non-scaling-stroke"/></svg>'
    ).format(path=path)
