"""The frozen evaluation's table and curves, from figures alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from xml.etree import ElementTree

import pytest

from apdm.benchmark.record import Figure
from apdm.report.diagram import HIGH
from apdm.report.frozen import course, table
from apdm.report.numbers import MINUS

FIGURES: Mapping[str, Figure | Mapping[str, Figure]] = {
    "attack_strength": Figure(0.84, 0.8, 0.9, 576),
    "protection_rate_1x": Figure(-0.02, -math.inf, 0.1, 1152),
    "placebos": {"no DPO": Figure(0.01, 0.0, 0.02, 1152)},
    "likeness_unprotected": {"150": Figure(0.5, 0.4, 0.6, 9), "300": Figure(0.8, 0.7, 0.9, 9)},
    "likeness_protected": {"150": Figure(0.2, 0.1, 0.3, 9), "300": Figure(0.7, 0.6, 0.8, 9)},
    "likeness_class": Figure(0.0, -0.1, 0.1, 9),
    "likeness_real": Figure(1.0, 0.9, 1.0, 9),
    "protection_rate_1x_by_subject": {"dog-1": Figure(0.3, 0.2, 0.4, 9), "cat-1": Figure(0.1, 0.0, 0.2, 9)},
    "protection_rate_2x_by_subject": {"dog-1": Figure(0.2, 0.1, 0.3, 9), "cat-1": Figure(0.0, 0.0, 0.1, 9)},
}


def test_the_table_has_the_means_the_placebos_and_the_subjects() -> None:
    means, subjects = table(FIGURES).split("\n\n")
    assert means.splitlines() == [
        "| figure | value | 95 % interval | n |",
        "|---|---|---|---|",
        "| attack strength | 0.840 | 0.800 to 0.900 | 576 |",
        f"| protection rate 1x | {MINUS}0.020 | {MINUS}∞ to 0.100 | 1152 |",
        f"| likeness class | 0.000 | {MINUS}0.100 to 0.100 | 9 |",
        "| likeness real | 1.000 | 0.900 to 1.000 | 9 |",
        "| placebo: no DPO | 0.010 | 0.000 to 0.020 | 1152 |",
    ]
    assert subjects.splitlines() == [
        "| subject | protection rate 1x | protection rate 2x |",
        "|---|---|---|",
        "| dog-1 | 0.30 (0.20 to 0.40) | 0.20 (0.10 to 0.30) |",
        "| cat-1 | 0.10 (0.00 to 0.20) | 0.00 (0.00 to 0.10) |",
    ]


def test_the_curves_are_of_both_models_between_the_class_and_the_subject() -> None:
    root = ElementTree.fromstring(course(FIGURES))
    svg = "{http://www.w3.org/2000/svg}"
    dots = [float(dot.get("cy", "")) for dot in root.iter(f"{svg}circle")]
    places = [HIGH * (1.05 - value) / 1.1 for value in (0.5, 0.8, 0.2, 0.7)]
    assert dots == pytest.approx(places, abs=0.1)
    rules = [path.get("d", "") for path in root.iter(f"{svg}path") if path.get("stroke-dasharray")]
    assert [float(rule.split()[1].partition("L")[0]) for rule in rules] == pytest.approx(
        [HIGH * 1.05 / 1.1, HIGH * 0.05 / 1.1], abs=0.1
    )
    assert [name.text for name in root.iter(f"{svg}tspan")] == ["● unprotected ", "● protected "]
