"""What a measured number speaks for."""

from __future__ import annotations

from enum import StrEnum


class Direction(StrEnum):
    """Which way a number should move, and for whose sake: to protect the subject, or to preserve
    what else the model can do. A reference is only a mark on the scale."""

    HIGHER_PROTECTS = "higher protects"
    LOWER_PROTECTS = "lower protects"
    HIGHER_PRESERVES = "higher preserves"
    LOWER_PRESERVES = "lower preserves"
    REFERENCE = "reference"
