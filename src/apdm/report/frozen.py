"""The frozen evaluation's figures as a table and as curves of likeness along the attack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from apdm.benchmark.record import Figure
from apdm.report.diagram import Line, Mark, Panel, diagram
from apdm.report.numbers import decimal

Figures = Mapping[str, Figure | Mapping[str, Figure]]
BY_SUBJECT = "_by_subject"
ALONG = ("unprotected", "protected")


def table(figures: Figures) -> str:
    """Markdown: the means over subjects, the placebos, and the rates of each subject."""
    single = {words(name): it for name, it in figures.items() if isinstance(it, Figure)}
    placebos = {f"placebo: {name}": it for name, it in group(figures, "placebos").items()}
    rates = [name for name in figures if name.endswith(BY_SUBJECT)]
    lines = [*rows(["figure", "value", "95 % interval", "n"], measured(single | placebos))]
    if rates:
        heads = ["subject", *(words(name.removesuffix(BY_SUBJECT)) for name in rates)]
        columns = [group(figures, name) for name in rates]
        lines += ["", *rows(heads, ([who, *(told(it[who]) for it in columns)] for who in columns[0]))]
    return "\n".join(lines) + "\n"


def course(figures: Figures) -> str:
    """SVG: mean likeness after so many steps of the attack, on both models; dashed what it lies between."""
    lines = [
        Line(model, [Mark(int(steps), it.value, (it.low, it.high)) for steps, it in along.items()])
        for model in ALONG
        if (along := group(figures, f"likeness_{model}"))
    ]
    between = [it.value for end in ("class", "real") if isinstance(it := figures[f"likeness_{end}"], Figure)]
    names = "likeness to the subject", "steps of the attack", "mean cosine to held-out photos"
    return diagram([Panel(*names, lines, bars_upwards=between)])


def group(figures: Figures, name: str) -> Mapping[str, Figure]:
    found = figures[name]
    return {} if isinstance(found, Figure) else found


def measured(figures: Mapping[str, Figure]) -> Iterable[list[str]]:
    for name, it in figures.items():
        yield [name, decimal(it.value), f"{decimal(it.low)} to {decimal(it.high)}", str(it.n)]


def told(it: Figure) -> str:
    return f"{decimal(it.value, 2)} ({decimal(it.low, 2)} to {decimal(it.high, 2)})"


def words(name: str) -> str:
    return name.replace("_", " ")


def rows(heads: list[str], cells: Iterable[list[str]]) -> Iterable[str]:
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    yield from (f"| {' | '.join(row)} |" for row in cells)
