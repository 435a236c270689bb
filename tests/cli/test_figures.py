"""How `apdm evaluate` shows what it measured."""

from __future__ import annotations

import math

import pytest

from apdm.benchmark.record import Figure
from apdm.cli.figures import show


def test_a_figure_that_is_not_known_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    """A rate, where the control did not take."""
    show({"rate": Figure(math.nan, math.nan, math.nan, 8), "strength": Figure(0.5, 0.4, 0.6, 4)}, "figures")
    said = capsys.readouterr().out
    assert "undefined" in said
    assert "nan" not in said
    assert "0.500" in said
    assert "0.400 to 0.600" in said


def test_a_figure_is_called_as_its_folder_is(capsys: pytest.CaptureFixture[str]) -> None:
    show({"TIFA of [b]/[/a]": Figure(0.5, 0.4, 0.6, 4)}, "judged by :a[/b]")
    said = capsys.readouterr().out
    assert "TIFA of [b]/[/a]" in said
    assert "judged by :a[/b]" in said
