"""Numbers as people read them. Rounding happens here and nowhere earlier."""

from __future__ import annotations

import math

from apdm.benchmark.record import Figure

THIN_SPACE, MINUS = "\N{NARROW NO-BREAK SPACE}", "\N{MINUS SIGN}"


def decimal(value: float, places: int = 3) -> str:
    """`value` with so many decimals, a true minus sign, and no minus before a zero."""
    if not math.isfinite(value):
        return _without_digits(value)
    text = f"{value:.{places}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)


def significant(value: float) -> str:
    """`value` with three significant digits, for quantities without a natural scale (KID, losses)."""
    return f"{value:.3g}".replace("-", MINUS) if math.isfinite(value) else _without_digits(value)


def percent(value: float) -> str:
    """A ratio as whole per cent."""
    return f"{decimal(100 * value, 0)}{THIN_SPACE}%" if math.isfinite(value) else _without_digits(value)


def _without_digits(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{MINUS if value < 0 else ''}∞"


def percent_interval(figure: Figure) -> str:
    """The 95 % interval of a ratio."""
    return f"{percent(figure.low).removesuffix(f'{THIN_SPACE}%')} to {percent(figure.high)}"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 60:
        return f"{decimal(seconds, 1)}{THIN_SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{THIN_SPACE}min {rest}{THIN_SPACE}s"
    return f"{minutes // 60}{THIN_SPACE}h {minutes % 60}{THIN_SPACE}min"
