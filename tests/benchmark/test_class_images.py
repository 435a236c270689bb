"""Figures of class images; what they are of, `tests/cli/test_class_scores.py` holds to."""

from __future__ import annotations

from apdm.benchmark.class_images import INCEPTION, kid_before_and_after
from apdm.benchmark.record import Figure
from apdm.direction import Direction


def test_kid_before_and_after_needs_both() -> None:
    one = Figure(0.1, 0.0, 0.2, 8, "inception", Direction.LOWER_PRESERVES)
    title = f"KID over {INCEPTION} of class_images"
    assert kid_before_and_after({title: one}) is None
    both = kid_before_and_after({title: one, f"{title}_protected": one})
    assert both is not None
    assert both.unprotected is one
