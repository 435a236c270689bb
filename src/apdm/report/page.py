"""The page of a run: `report.html`, one file that needs nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from apdm.benchmark.record import LOG_FILE, Figure, Result, SubjectResult, as_json, read_result
from apdm.report.charts import Axis, curve_line, interval_mark, tick_labels
from apdm.report.limits import not_tested, threat_model
from apdm.report.log import Curve, read_curves
from apdm.report.numbers import duration, percent, significant
from apdm.report.pictures import Column, Group, data_uri, find_pictures, groups, is_person, numbers
from apdm.report.tables import Table, figure_tables
from apdm.report.verdict import Finding, Verdict, attacks_named, cost, verdict

REPORT_FILE, TWIN_FILE = "report.html", "report.json"


@dataclass(frozen=True)
class Cell:
    """A picture as text, with the words for who cannot see it."""

    alt: str
    data: str


@dataclass(frozen=True)
class Strip:
    """A group of columns and its rows; a cell is None where a set has no picture of that number."""

    group: Group
    rows: tuple[tuple[Cell | None, ...], ...]


@dataclass(frozen=True)
class Section:
    """All that the page shows of one subject. `rate` is drawn where there is something to conclude."""

    subject: SubjectResult
    verdict: Verdict
    cost: str
    rate: Markup
    strips: tuple[Strip, ...]
    tables: tuple[Table, ...]
    veiled: bool


@dataclass(frozen=True)
class Chart:
    """A curve with the words around it; ticks are (per cent from the bottom, number)."""

    curve: Curve
    tone: str
    line: Markup
    ticks: tuple[tuple[float, str], ...]
    last: str


def write_report(folder: Path, show_people: bool = False) -> Path:
    """Writes `report.html`, and `report.json` with the same in numbers, into `folder` from the run kept there
    (see `apdm.benchmark.record`).

    People who are no toys are blurred unless `show_people`. Raises `InputError` where the record, a
    subject's pictures or the log cannot be read.
    """
    result = read_result(folder)
    sections = [_section(folder, result, subject, show_people) for subject in result.subjects]
    page = (
        _environment()
        .get_template("page.html.jinja")
        .render(
            result=result,
            sections=sections,
            charts=_charts(read_curves(folder / LOG_FILE)),
            settings=_settings(result.settings),
            not_tested=not_tested(result),
            threat_model=threat_model(result),
        )
    )
    path = folder / REPORT_FILE
    path.write_text(page, encoding="utf-8")
    (folder / TWIN_FILE).write_text(json.dumps(_twin(result, sections), indent=2) + "\n", encoding="utf-8")
    return path


def _twin(result: Result, sections: Sequence[Section]) -> dict[str, object]:
    """The record with what the page concludes from it."""
    verdicts = {
        section.subject.name: {
            "finding": section.verdict.finding,
            "sentence": section.verdict.sentence,
            "cost": section.cost,
        }
        for section in sections
    }
    limits = {"not_tested": not_tested(result), "threat_model": threat_model(result)}
    return {"verdicts": verdicts, **as_json(result), **limits}


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("apdm.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    return environment


def _section(folder: Path, result: Result, subject: SubjectResult, show_people: bool) -> Section:
    veiled = is_person(subject.class_noun) and not (result.toy or show_people)
    reached = verdict(subject, attacks_named(result.attacks))
    pictures = find_pictures(folder, subject.name)
    return Section(
        subject=subject,
        verdict=reached,
        cost=cost(subject),
        rate=Markup("") if reached.finding is Finding.NO_CONCLUSION else _rate(subject.protection_rate),
        strips=tuple(_strip(subject.name, group, pictures, veiled) for group in groups(subject.class_noun)),
        veiled=veiled,
        tables=tuple(figure_tables(subject)),
    )


def _rate(rate: Figure) -> Markup:
    axis = Axis.around((rate.low, rate.value, rate.high, 0, 1))
    return tick_labels(axis, (0, 1), percent) + interval_mark(rate, axis, "protected", (0, 1))


def _strip(name: str, group: Group, pictures: Mapping[str, Mapping[str, Path]], veiled: bool) -> Strip:
    def cell(column: Column, number: str) -> Cell | None:
        path = pictures[column.picture_set].get(number)
        if path is None:
            return None
        return Cell(f"{name}: {group.heading}, {column.heading}, {number}", data_uri(path, veiled))

    return Strip(
        group, tuple(tuple(cell(column, n) for column in group.columns) for n in numbers(pictures, group))
    )


def _charts(curves: Sequence[Curve]) -> list[Chart]:
    """One chart for each curve; curves of one figure and one kind of task share the scale upwards, so
    that an attack before and after the protection can be compared."""
    scales: dict[tuple[str, str], list[float]] = {}
    for curve in curves:
        scales.setdefault(_kind(curve), []).extend(y for _, y in curve.points)
    return [_chart(curve, Axis.around(scales[_kind(curve)])) for curve in curves]


def _kind(curve: Curve) -> tuple[str, str]:
    return curve.task.partition(" ")[0], curve.figure


def _chart(curve: Curve, upwards: Axis) -> Chart:
    return Chart(
        curve=curve,
        tone=_tone(curve.task),
        line=curve_line(curve.points, Axis(0, curve.total), upwards),
        ticks=tuple((upwards.at(tick), significant(tick)) for tick in upwards.ticks(most=4)),
        last=significant(curve.points[-1][1] if curve.points else math.nan),
    )


def _tone(task: str) -> str:
    """The colour of the model that a task works on, as everywhere on the page."""
    return "unprotected" if "unprotected" in task else "protected" if "protected" in task else "real"


def _settings(settings: Mapping[str, object]) -> list[tuple[str, str]]:
    """Dotted names and values, nested settings laid flat."""
    return [(name, str(value)) for name, value in _flat(settings, "")]


def _flat(settings: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(cast("Mapping[str, object]", value), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
