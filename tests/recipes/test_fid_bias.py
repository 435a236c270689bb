"""The committed table of FID's bias is what its recipe makes."""

from __future__ import annotations

import importlib.util
import json
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("fid_bias", ROOT / "recipes" / "fid_bias.py")
assert SPEC
assert SPEC.loader
fid_bias = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(fid_bias)

ROWS = json.loads((fid_bias.RESULTS / "fid-bias.json").read_text())


def test_the_truth_by_hand() -> None:
    """64 axes, each .25 apart and deviations of 1 and 1.25: 64 (1/16 + 1/16)."""
    assert fid_bias.truth(0.25, 1.25) == 8
    assert fid_bias.truth(0.0, 1.0) == 0


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_row_is_made_again(place: int) -> None:
    assert fid_bias.row(ROWS[place]["n"]) == pytest.approx(ROWS[place], abs=2e-3)


def test_the_page_is_that_of_the_rows() -> None:
    assert (fid_bias.RESULTS / "fid-bias.md").read_text() == fid_bias.page(ROWS)


def test_the_bias_is_many_deviations_and_falls_to_half_as_n_doubles() -> None:
    assert [row["n"] for row in ROWS] == list(fid_bias.SIZES)
    for case, truth in (("equal", 0), ("apart", 8)):
        excess = [row[case] - truth for row in ROWS]
        assert all(e > 3 * row[f"{case}_deviation"] for e, row in zip(excess, ROWS, strict=True))
        ratios = [b / a for a, b in pairwise(excess[2:])]
        assert ratios == pytest.approx([0.5] * 5, abs=0.06)
