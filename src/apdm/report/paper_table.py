"""A table of the benchmark as Markdown, LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from markupsafe import escape

from apdm.benchmark.tables.table import BEST, CONTROLS, PUBLISHED, SECOND, Column, Entry, Line, Table
from apdm.report.numbers import MINUS, decimal

PLACES = {
    **{"similarity": 3, "brisque": 1, "ratio": 3, "place": 1},
    **{"fid": 2, "kid": 4, "clip": 4, "tifa": 2, "geneval": 4},
    **{"fid change": 2, "kid change": 4, "clip change": 4, "tifa change": 2, "geneval change": 4},
}
PUBLISHED_PLACES = {**PLACES, "similarity": 4, "brisque": 2}  # as the papers print them
ARROWS = {"higher": "↑", "lower": "↓"}
TEX = {
    "\\": r"\textbackslash{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf7; --ink: #1f2328; --soft: #646a73; --line: #e3e0d8; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171a; --ink: #e8e6e1; --soft: #9da3ab; --line: #30353b; }
}
html { -webkit-text-size-adjust: 100%; }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 0 auto; padding: 1.2rem 1.25rem; max-width: 1400px; box-sizing: border-box; }
h1 { font-size: clamp(1.3rem, 1rem + 1.6vw, 2rem); line-height: 1.2; text-wrap: balance; }
.wide { overflow-x: auto; margin-bottom: 1.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .55rem; text-align: right; white-space: nowrap; }
tr { border-bottom: 1px solid var(--line); }
thead th { vertical-align: bottom; white-space: normal; font-weight: 600; line-height: 1.25; }
th:first-child { text-align: left; font-weight: 400; padding-left: 0; white-space: normal; min-width: 13rem;
  position: sticky; left: 0; background: var(--paper); }
small, .published, .controls, .placebo th, .placebo td { color: var(--soft); }
td small { display: block; line-height: 1.2; }
.published { font-style: italic; }
p { max-width: 80ch; color: var(--soft); }
@media (max-width: 640px) {
  body { padding: .8rem 1rem; font-size: 14px; }
  th:first-child { min-width: 8rem; }
}
"""


def write_table(table: Table, folder: Path) -> list[Path]:
    """`folder`/NAME-SIZE.md, .tex and .html."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for ending, render in (("md", markdown), ("tex", latex), ("html", html)):
        path = folder / f"{table.name}-{table.size}.{ending}"
        path.write_text(render(table), encoding="utf-8")
        written.append(path)
    return written


def markdown(table: Table) -> str:
    """For a README: intervals in brackets; published figures in columns that say so."""
    head = ["", *(_heading(column) for column in table.columns)]
    rows = [[_label(line), *_cells(table, line, _markdown_entry)] for line in table.lines]
    ruled = ["---", *("---:" for _ in table.columns)]
    lines = [
        "| " + " | ".join(part.replace("|", "\\|") for part in row) + " |" for row in (head, ruled, *rows)
    ]
    return "\n".join([f"## {table.title}", "", *lines, "", table.explained, "", *_spaced(table.notes)])


def latex(table: Table) -> str:
    """A `table*`, which wants the package booktabs."""
    head = " & ".join(["", *(_tex(_heading(column)) for column in table.columns)])
    rows = [
        " & ".join([_tex(_label(line)), *_cells(table, line, _latex_entry)]) + r" \\" for line in table.lines
    ]
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering\scriptsize",
            rf"\caption{{{_tex(' '.join([table.title + '.', table.explained, *table.notes]))}}}",
            rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
            r"\toprule",
            head + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
            "",
        ]
    )


def html(table: Table) -> str:
    """A page of its own that needs nothing else."""
    head = "".join(f'<th scope="col" class="{c.kind}">{escape(_heading(c))}</th>' for c in table.columns)
    rows = "\n".join(
        f'<tr class="{line.role}"><th scope="row">{escape(_label(line))}</th>'
        f"{''.join(_cells(table, line, _html_entry))}</tr>"
        for line in table.lines
    )
    notes = "\n".join(f"<p>{escape(note)}</p>" for note in (table.explained, *table.notes))
    title = escape(table.title)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n"
        f'<div class="wide"><table>\n<thead><tr><th></th>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n'
        f"</table></div>\n{notes}\n</html>\n"
    )


def _heading(column: Column) -> str:
    if column.kind == CONTROLS:
        return f"its control, {column.class_noun}"
    if column.kind == PUBLISHED:
        return ", ".join(filter(None, (f"published {column.name}", column.class_noun)))
    return " ".join(filter(None, (column.name, ARROWS.get(column.better), column.class_noun)))


def _label(line: Line) -> str:
    role = "" if line.role == "defence" else f" ({line.role})"
    return f"{line.label}{role}{f', {line.missing} cells missing' if line.missing else ''}"


def _cells(table: Table, line: Line, render: Callable[[Column, Entry], str]) -> list[str]:
    return [render(column, entry) for column, entry in zip(table.columns, line.entries, strict=True)]


def _figures(column: Column, entry: Entry) -> tuple[str, str]:
    """The value and its interval, as text; the latter may be empty."""
    places = PLACES[column.metric]
    if entry.value is None:
        return "", ""
    if column.kind == PUBLISHED:
        return decimal(entry.value, PUBLISHED_PLACES[column.metric]), ""
    if entry.low is None or entry.high is None:
        return decimal(entry.value, places), ""
    return decimal(entry.value, places), f"({decimal(entry.low, places)} to {decimal(entry.high, places)})"


def _markdown_entry(column: Column, entry: Entry) -> str:
    value, interval = _figures(column, entry)
    styled = {BEST: f"**{value}**", SECOND: f"<u>{value}</u>"}.get(entry.mark, value)
    return f"*{value}*" if column.kind == PUBLISHED and value else f"{styled} {interval}".strip()


def _latex_entry(column: Column, entry: Entry) -> str:
    value, interval = (_tex(text) for text in _figures(column, entry))
    styled = {BEST: rf"\textbf{{{value}}}", SECOND: rf"\underline{{{value}}}"}.get(entry.mark, value)
    return rf"\textit{{{value}}}" if column.kind == PUBLISHED and value else f"{styled} {interval}".strip()


def _html_entry(column: Column, entry: Entry) -> str:
    value, interval = _figures(column, entry)
    styled = {BEST: f"<b>{value}</b>", SECOND: f"<u>{value}</u>"}.get(entry.mark, value)
    n = f' title="n = {entry.n}"' if entry.n else ""
    return f'<td class="{column.kind}"{n}>{styled} <small>{interval}</small></td>'


def _tex(text: str) -> str:
    escaped = "".join(TEX.get(letter, letter) for letter in text)
    return escaped.replace("↑", r"$\uparrow$").replace("↓", r"$\downarrow$").replace(MINUS, "$-$")


def _spaced(notes: tuple[str, ...]) -> list[str]:
    return [line for note in notes for line in (note, "")]
