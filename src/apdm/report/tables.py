"""The figures of one subject as tables whose rows share an axis: each number beside its dot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from apdm.benchmark.record import PICTURE_SETS, Figure, SubjectResult
from apdm.direction import Direction
from apdm.report.charts import Axis, guide_labels, interval_mark, tick_labels
from apdm.report.numbers import decimal, percent, significant


@dataclass(frozen=True)
class Entry:
    """A figure under its name; `tone` is the colour of its dot."""

    name: str
    tone: str
    figure: Figure


@dataclass(frozen=True)
class Row:
    name: str
    direction: str
    mark: Markup
    value: str
    interval: str
    n: str


@dataclass(frozen=True)
class Table:
    """`guides` and `ticks` are the labels above and below the dots; `judges` all extractors used
    and the first digits of their weights' SHA-256."""

    title: str
    note: str
    judges: str
    rows: tuple[Row, ...]
    guides: Markup
    ticks: Markup


def figure_tables(subject: SubjectResult) -> list[Table]:
    """Every figure of `subject`, those on one scale in one table."""
    tables = [_similarity(subject), _ratios(subject)]
    if subject.kid:
        tables.append(_kid(subject.class_noun, subject.kid.unprotected, subject.kid.protected))
    if subject.brisque:
        tables.append(_brisque(subject.brisque))
    tables += [_by_set(measure, "", sets, significant) for measure, sets in (subject.further or {}).items()]
    return tables


def _similarity(subject: SubjectResult) -> Table:
    s, noun = subject.similarity, subject.class_noun
    entries = [
        Entry("other photos of the subject", "real", s.real),
        Entry("attacked, unprotected model", "unprotected", s.attacked_unprotected),
        Entry("attacked, protected model", "protected", s.attacked_protected),
        Entry(f"class prompt, “{noun}”", "plain", s.class_prompt),
        Entry("noise", "plain", s.noise),
    ]
    if s.random_other:
        entries.insert(-1, Entry(f"another {noun}", "plain", s.random_other))
    guides = ((s.class_prompt.value, "class prompt"), (s.real.value, "the subject"))
    note = "Mean cosine to held-out pictures of the subject."
    return _table("Likeness to the subject", note, entries, decimal, guides)


def _ratios(subject: SubjectResult) -> Table:
    entries = [
        Entry("attack strength (the control)", "unprotected", subject.attack_strength),
        Entry("protection rate", "protected", subject.protection_rate),
    ]
    if subject.other_subject_strength_ratio:
        name = f"strength left on another {subject.class_noun}"
        entries.append(Entry(name, "plain", subject.other_subject_strength_ratio))
    note = (
        "Attack strength: how far the attack goes from the class prompt to the subject, on the unprotected "
        "model. Protection rate: how much of that way is lost on the protected one; never clipped. "
        "Strength left: attack strength on another subject, protected model over unprotected."
    )
    return _table("What follows from it", note, entries, percent, ((0, "none"), (1, "all")))


def _kid(class_noun: str, before: Figure, after: Figure) -> Table:
    entries = (
        Entry("unprotected model", "unprotected", before),
        Entry("protected model", "protected", after),
    )
    note = f"Distance of the model's pictures for “{class_noun}” from real ones (KID)."
    return _table("Cost: pictures of the class", note, entries, significant)


def _brisque(brisque: Mapping[str, Figure]) -> Table:
    note = "Quality without a reference; lower looks more natural. No verdict rests on it."
    return _by_set("BRISQUE", note, brisque, lambda value: decimal(value, 1))


def _by_set(title: str, note: str, figures: Mapping[str, Figure], show: Callable[[float], str]) -> Table:
    entries = [
        Entry(name.replace("_", ", "), _tone(name), figures[name]) for name in PICTURE_SETS if name in figures
    ]
    return _table(title, note, entries, show)


def _tone(picture_set: str) -> str:
    kind = picture_set.rsplit("_", 1)[-1]
    return kind if kind in ("unprotected", "protected") else "real"


def _table(
    title: str,
    note: str,
    entries: Sequence[Entry],
    show: Callable[[float], str],
    guides: Sequence[tuple[float, str]] = (),
) -> Table:
    figures = [entry.figure for entry in entries]
    marked = [value for value, _ in guides]
    axis = Axis.around([*(bound for f in figures for bound in (f.low, f.value, f.high)), *marked])
    return Table(
        title=title,
        note=note,
        judges=", ".join(dict.fromkeys(_judge(f) for f in figures if f.extractor)),
        rows=tuple(_row(entry, axis, show, marked) for entry in entries),
        guides=guide_labels(axis, guides),
        ticks=tick_labels(axis, axis.ticks(), percent if show is percent else significant),
    )


def _judge(figure: Figure) -> str:
    digits = f" ({figure.fingerprint[:8]})" if figure.fingerprint else ""
    return f"{figure.extractor}{digits}"


def _row(entry: Entry, axis: Axis, show: Callable[[float], str], guides: Sequence[float]) -> Row:
    figure = entry.figure
    return Row(
        name=entry.name,
        direction="" if figure.direction is Direction.REFERENCE else figure.direction.value,
        mark=interval_mark(figure, axis, entry.tone, guides),
        value=show(figure.value),
        interval=f"{show(figure.low)} to {show(figure.high)}",
        n=f"{figure.n} of {figure.n + figure.excluded}" if figure.excluded else str(figure.n),
    )
