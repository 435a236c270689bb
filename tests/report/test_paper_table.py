"""A table as text: what is marked, what is called published, and that nothing breaks out of its format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from apdm.benchmark.tables.table import Column, Entry, Line, Table
from apdm.report.numbers import MINUS
from apdm.report.paper_table import html, latex, markdown, write_table

TABLE = Table(
    "small",
    "toy",
    "A small table",
    (
        Column("similarity", "toybox-identity", "dog", "lower"),
        Column("similarity", "toybox-identity", "dog", "lower", "controls"),
        Column("similarity", "DINO", "dog", "lower", "published"),
        Column("brisque", "BRISQUE", "all", "higher"),
    ),
    (
        Line("DreamBooth", "control", (Entry(0.5, 0.4, 0.6, 8), Entry(0.5), Entry(0.6994), Entry(12.3456))),
        Line(
            "a_b & <c> | d",
            "defence",
            (Entry(-0.1, -0.25, 0.1, 8, "best"), Entry(None), Entry(None), Entry(None)),
            2,
        ),
        Line("SimAC", "placebo", (Entry(0.2, 0.1, 0.3, 8, "second"), Entry(None), Entry(None), Entry(None))),
    ),
    ("100 % of it; $1_a",),
)


def test_markdown() -> None:
    lines = markdown(TABLE).splitlines()
    assert lines[0] == "## A small table"
    assert lines[2:7] == [
        "|  | toybox-identity ↓ dog | its control, dog | published DINO, dog | BRISQUE ↑ all |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| DreamBooth (control) | 0.500 (0.400 to 0.600) | 0.500 | *0.6994* | 12.3 |",
        f"| a_b & <c> \\| d, 2 cells missing | **{MINUS}0.100** ({MINUS}0.250 to 0.100) |  |  |  |",
        "| SimAC (placebo) | <u>0.200</u> (0.100 to 0.300) |  |  |  |",
    ]
    assert "100 % of it; $1_a" in lines


def test_latex() -> None:
    text = latex(TABLE)
    assert r"a\_b \& <c> | d, 2 cells missing & \textbf{$-$0.100} ($-$0.250 to 0.100) &  &  &  \\" in text
    assert r"SimAC (placebo) & \underline{0.200} (0.100 to 0.300)" in text
    assert r"\textit{0.6994}" in text
    assert r"toybox-identity $\downarrow$ dog" in text
    assert r"100 \% of it; \$1\_a" in text
    assert text.count(r"\begin{tabular}{lrrrr}") == text.count(r"\end{tabular}") == 1


def test_html() -> None:
    text = html(TABLE)
    assert '<th scope="row">a_b &amp; &lt;c&gt; | d, 2 cells missing</th>' in text
    assert (
        f'<td class="ours" title="n = 8"><b>{MINUS}0.100</b> <small>({MINUS}0.250 to 0.100)</small></td>'
        in text
    )
    assert '<td class="published">0.6994' in text
    assert '<tr class="placebo">' in text
    assert "http" not in text.replace("<!doctype html>", "")


def test_all_three_are_written(tmp_path: Path) -> None:
    names = [path.name for path in write_table(TABLE, tmp_path / "new")]
    assert names == ["small-toy.md", "small-toy.tex", "small-toy.html"]
    assert (tmp_path / "new" / "small-toy.md").read_text(encoding="utf-8") == markdown(TABLE)


def test_a_column_of_all_classes_names_none() -> None:
    columns = (
        Column("fid", "FID (judge)", "", "lower"),
        Column("fid", "FID", "", "lower", "published"),
        Column("tifa", "TIFA, %", "", "higher", "published"),
        Column("clip change", "CLIP score, change", "", "higher"),
        Column("ratio", "neither way", "dog", ""),
        Column("place", "mean place", "", "lower"),
    )
    line = Line(
        "ours",
        "defence",
        (
            *(Entry(20.126, 19.0, 21.0, 8), Entry(28.85), Entry(75.91)),
            *(Entry(-0.00256), Entry(0.5), Entry(5 / 3)),
        ),
    )
    text = markdown(Table("table2", "toy", "Kept", columns, (line,), ()))
    assert "|  | FID (judge) ↓ | published FID | published TIFA, % | CLIP score, change ↑ |" in text
    assert "| CLIP score, change ↑ | neither way dog | mean place ↓ |" in text
    assert f"| 20.13 (19.00 to 21.00) | *28.85* | *75.91* | {MINUS}0.0026 | 0.500 | 1.7 |" in text


def test_marks_are_explained_where_there_are_some() -> None:
    plain = tuple(
        replace(line, entries=tuple(replace(it, mark="") for it in line.entries)) for line in TABLE.lines
    )
    for render in (markdown, latex, html):
        assert "Best defence bold" in render(TABLE)
        said = render(replace(TABLE, lines=plain))
        assert "bold" not in said
        assert "higher is better" in said
