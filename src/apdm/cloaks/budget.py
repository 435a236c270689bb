"""How much a cloak may change a pixel, with the range that the number is a part of."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from apdm.errors import InputError

RANGES = ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0))
NUMBER = r"(\d+\.?\d*(?:e-?\d+)?|\.\d+)"
TEXT = re.compile(rf"{NUMBER}(?:/{NUMBER})?(?:@\[(-?\d+),(\d+)\])?")
HOW = "write 8/255 for eight grey levels, or name the range, as in 0.05@[-1,1]"


@dataclass(frozen=True)
class Budget:
    """A distance between two values of a pixel: `value` on pictures of the given range.

    Papers and code name 0.05, 8/255 or 11 and seldom say of what; 0.05 of [-1, 1] is 6.4 grey levels, of
    [0, 1] it is 12.75. Raises `InputError` for a range that no picture has, and below 0.
    """

    value: float
    range: tuple[float, float]
    """[-1, 1], [0, 1] or [0, 255]."""

    def __post_init__(self) -> None:
        if self.range not in RANGES:
            raise InputError(f"a picture's range is not {list(self.range)}", fix=HOW)
        if not 0 <= self.value < math.inf:
            raise InputError(f"a budget is {self.value}", fix=HOW)

    @classmethod
    def parse(cls, text: str) -> Budget:
        """From "0.05@[-1,1]", "16/255@[-1,1]", "11@[0,255]", or "8/255", which are grey levels of 255.
        Raises `InputError` for all else, above all for a number without its range."""
        found = TEXT.fullmatch(text.replace(" ", ""))
        if found is None:
            raise InputError(f"'{text}' is not a budget", fix=HOW)
        over, under, low, high = found.groups()
        if low is None and under != "255":
            raise InputError(f"budget {text} does not say of what range", fix=HOW)
        if under is not None and float(under) == 0:
            raise InputError(f"'{text}' is not a budget", fix=HOW)
        value = float(over) / float(under or 1)
        return cls(value, (0.0, 1.0) if low is None else (float(low), float(high)))

    @property
    def grey_levels(self) -> float:
        """Of 255."""
        return self.value * 255 / (self.range[1] - self.range[0])

    @property
    def in_pixels(self) -> float:
        """Of `Pixels`, whose range is [-1, 1]."""
        return self.value * 2 / (self.range[1] - self.range[0])

    def __str__(self) -> str:
        """As `parse` reads it."""
        low, high = self.range
        levels = self.value * 255
        whole = high == 1 and math.isclose(levels, round(levels), abs_tol=1e-9)
        number = f"{round(levels)}/255" if whole else repr(self.value).removesuffix(".0")
        return number if whole and low == 0 else f"{number}@[{low:g},{high:g}]"
