"""The figure and the tables of `trade_off.py`'s lines.

    python recipes/draw_trade_off.py     # those in runs/trade-off
    python recipes/draw_trade_off.py --results docs/results/trade-off.jsonl

Writes a table of the protections and one of the roundings into trade-off.md beside the lines, each row over
the toys that have a line for it and for the unprotected model, and the figure into trade-off.svg. Rates are
of mean likenesses, ratios means over toys; intervals are bootstraps over toys, attack seeds and pictures
(three toys: narrower than they should be).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from apdm.metrics.base import Interval
from apdm.metrics.statistics import hierarchical_bootstrap, protection_rate
from apdm.report.diagram import Line, Mark, Panel, diagram
from rounding import FORMS
from trade_off import RESULTS, read_lines

ATTACKS = {"frozen": "attacked by 5e-4 for 300 steps", "demo": "attacked by 2e-4 for 150 steps"}
BARS = {"fid": 1.11, "rate": 0.8}  # what a protection should reach
ACCURACIES = ("class", "colour")
Lines = Sequence[Mapping[str, Any]]
Model = tuple[float, int]  # learning rate, steps


def rate(attack: str, before: Lines, after: Lines) -> Interval:
    """Protection rate over the toys, whose lines are in the same order."""

    def runs(lines: Lines) -> list[list[np.ndarray]]:
        return [[np.array(run) for run in line["likeness"][attack]] for line in lines]

    of_class = [[np.array(line["class_likeness"])] for line in before]
    cells = {"unprotected": runs(before), "protected": runs(after), "class": of_class}
    return hierarchical_bootstrap(protection_rate, cells, seed=0)


def likeness(attack: str, lines: Lines) -> float:
    return float(np.mean([line["likeness"][attack] for line in lines]))


def ratio(name: str, before: Lines, after: Lines) -> float:
    return float(np.mean([now[name] / was[name] for was, now in zip(before, after, strict=True)]))


def drop(name: str, before: Lines, after: Lines) -> float:
    return float(np.mean([was[name] - now[name] for was, now in zip(before, after, strict=True)]))


def of(lines: Lines, model: Model, form: str = "") -> Lines:
    """The model's lines, of the toys in their order."""
    found = [it for it in lines if (it["learning_rate"], it["steps"], it["rounding"]) == (*model, form)]
    return sorted(found, key=lambda line: line["toy"])


def pair(lines: Lines, model: Model, form: str = "") -> tuple[Lines, Lines]:
    """The unprotected model's lines and this one's, of the toys that have both."""
    before, after = of(lines, (0.0, 0), form), of(lines, model, form)
    toys = {line["toy"] for line in before} & {line["toy"] for line in after}
    return [line for line in before if line["toy"] in toys], [line for line in after if line["toy"] in toys]


def models(lines: Lines, rounded: bool) -> list[Model]:
    """The protected ones that have a line as they are, or rounded."""
    some = [line for line in lines if line["steps"] and bool(line["rounding"]) == rounded]
    return sorted({(line["learning_rate"], line["steps"]) for line in some})


def compared(lines: Lines) -> Iterable[tuple[Model, Lines, Lines]]:
    """The protections as they are, with the unprotected model's lines and their own."""
    for model in models(lines, rounded=False):
        before, after = pair(lines, model)
        if after:
            yield model, before, after


def table(lines: Lines) -> Iterable[str]:
    held = [f"protection rate, {attack} attack" for attack in ATTACKS]
    lost = [f"{what} accuracy lost" for what in ACCURACIES]
    yield row("learning rate", "steps", "toys", *held, "FID ratio", "caption error", *lost)
    yield "|---" * 9 + "|"
    for model, before, after in compared(lines):
        rates = [told(rate(attack, before, after)) for attack in ATTACKS]
        costs = [f"{ratio(name, before, after):.2f}" for name in ("fid", "caption_error")]
        lost = [f"{drop(f'{what}_accuracy', before, after):.1%}" for what in ACCURACIES]
        yield row(f"{model[0]:g}", model[1], len(after), *rates, *costs, *lost)


def roundings(lines: Lines) -> Iterable[str]:
    """The unprotected model is rounded alike, but for its pictures of the class before any attack."""
    attacked = [f"{attack}: {what}" for attack in ATTACKS for what in ("unprotected", "protected", "rate")]
    yield row("learning rate", "steps", "stored as", "toys", *attacked, "FID ratio", "same as unprotected")
    yield "|---" * 12 + "|"
    for model in models(lines, rounded=True):
        for form in ("", *FORMS):
            before, after = pair(lines, model, form)
            if after:
                yield row(f"{model[0]:g}", model[1], form or "fp32", *rounding(before, after))


def rounding(before: Lines, after: Lines) -> Iterable[object]:
    yield len(after)
    for attack in ATTACKS:
        yield from (f"{likeness(attack, some):.2f}" for some in (before, after))
        yield told(rate(attack, before, after))
    yield f"{ratio('fid', before, after):.2f}"
    shares = [line["vanished"] for line in after if line["rounding"]]
    yield f"{np.mean(shares):.1%}" if shares else ""


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def told(it: Interval) -> str:
    return f"{it.value:.2f} ({it.low:.2f} to {it.high:.2f})"


def panel(lines: Lines, attack: str) -> Panel:
    drawn: dict[float, list[Mark]] = {}
    for (learning_rate, steps), before, after in compared(lines):
        held = rate(attack, before, after)
        mark = Mark(ratio("fid", before, after), held.value, (held.low, held.high), str(steps))
        drawn.setdefault(learning_rate, []).append(mark)
    courses = [Line(f"learning rate {learning_rate:g}", marks) for learning_rate, marks in drawn.items()]
    title, axes = ATTACKS[attack], ("FID, protected / unprotected", "protection rate")
    return Panel(title, *axes, courses, [BARS["fid"]], [BARS["rate"]])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    if not args.results.is_file():
        parser.error(f"{args.results} is not there: run trade_off.py first, or give its --results")
    lines = read_lines(args.results, parser.error)
    if not lines:
        parser.error(f"{args.results} has no line yet: run trade_off.py first")
    if len({line["settings"] for line in lines}) > 1:
        parser.error(f"{args.results} has lines of several settings or versions: keep those of one")
    tables = "\n".join([*table(lines), "", *roundings(lines)])
    args.results.with_suffix(".md").write_text(f"{tables}\n")
    print(tables)
    args.results.with_suffix(".svg").write_text(diagram([panel(lines, attack) for attack in ATTACKS]))


if __name__ == "__main__":
    main()
