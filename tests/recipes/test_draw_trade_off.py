"""What is drawn and told of the trade-off's lines."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import draw_trade_off
import trade_off


def lines() -> list[dict[str, Any]]:
    """Two toys: unprotected .8 and .6, protected .6 and .6, the class at .2; the cat has no 600 steps."""

    def line(toy: str, steps: int, likeness: float, fid: float, rounding: str = "") -> dict[str, Any]:
        return {
            "toy": toy,
            "learning_rate": 2e-4 if steps else 0.0,
            "steps": steps,
            "rounding": rounding,
            "likeness": {"frozen": [[likeness] * 4], "demo": [[likeness] * 4]},
            "class_likeness": [0.2] * 4,
            "fid": fid,
            "caption_error": fid / 100,
            "class_accuracy": 1.0 - steps / 30_000,
            "colour_accuracy": 1.0 - steps / 15_000,
            "vanished": 0.25 if rounding else None,
            "settings": "d",
        }

    return [
        line("dog-1", 0, 0.8, 10),
        line("cat-1", 0, 0.6, 20),
        line("cat-1", 300, 0.6, 20),
        line("dog-1", 300, 0.6, 15),
        line("dog-1", 600, 0.5, 20),
        line("dog-1", 0, 0.7, 10, "int8"),
        line("dog-1", 300, 0.6, 11, "int8"),
    ]


def test_the_table_is_of_the_toys_that_have_lines() -> None:
    """Rates: .1 of .7 - .2 over both toys; .3 of .8 - .2 of the dog alone."""
    _, _, both, one = draw_trade_off.table(lines())
    assert both.startswith("| 0.0002 | 300 | 2 | 0.20 (")
    assert both.endswith("| 1.25 | 1.25 | 1.0% | 2.0% |")
    assert one.startswith("| 0.0002 | 600 | 1 | 0.50 (")


def test_a_rounded_model_is_compared_with_the_unprotected_one_rounded_alike() -> None:
    _, _, whole, rounded = draw_trade_off.roundings(lines())
    assert whole.startswith("| 0.0002 | 300 | fp32 | 2 | 0.70 | 0.60 | 0.20 (")
    assert rounded.startswith("| 0.0002 | 300 | int8 | 1 | 0.70 | 0.60 | 0.20 (")
    assert rounded.endswith("| 1.10 | 25.0% |")


def test_a_toy_without_its_unprotected_line_is_left_out() -> None:
    """As while a run goes on: roundings of protections come first."""
    without = [it for it in lines() if it["steps"] or (it["toy"], it["rounding"]) == ("dog-1", "")]
    _, _, dog, longer = draw_trade_off.table(without)
    assert dog.startswith("| 0.0002 | 300 | 1 | 0.33 (")
    assert longer.startswith("| 0.0002 | 600 | 1 | 0.50 (")
    _, _, whole = draw_trade_off.roundings(without)
    assert whole.startswith("| 0.0002 | 300 | fp32 | 1 |")
    protected = [it for it in lines() if it["steps"]]
    assert len(list(draw_trade_off.table(protected))) == 2  # its head
    assert draw_trade_off.panel(protected, "frozen").lines == []


def test_the_figure_has_a_line_for_each_rate() -> None:
    panel = draw_trade_off.panel(lines(), "frozen")
    (line,) = panel.lines
    assert [(mark.x, round(mark.y, 6), mark.label) for mark in line.marks] == [
        (1.25, 0.2, "300"),
        (2.0, 0.5, "600"),
    ]


def test_what_is_drawn_is_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody says another place."""

    def measured(_run: object, _waiting: object, results: Path, _jobs: int) -> None:
        results.write_text("\n".join(map(json.dumps, lines())))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["recipe"])
    monkeypatch.setattr(trade_off, "measure_all", measured)
    trade_off.main()
    draw_trade_off.main()
    (figure,) = tmp_path.rglob("*.svg")
    assert figure.read_text().startswith("<svg ")
    told = figure.with_suffix(".md").read_text().split("\n\n")
    assert [it.splitlines() for it in told] == [
        list(draw_trade_off.table(lines())),
        list(draw_trade_off.roundings(lines())),
    ]


def test_the_committed_lines_give_the_committed_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = Path(__file__).resolve().parents[2] / "docs" / "results" / "trade-off.jsonl"
    results = tmp_path / committed.name
    results.write_bytes(committed.read_bytes())
    monkeypatch.setattr(sys, "argv", ["recipe", "--results", str(results)])
    draw_trade_off.main()
    for drawn in (".md", ".svg"):
        assert results.with_suffix(drawn).read_text() == committed.with_suffix(drawn).read_text()


def test_a_last_line_that_was_cut_off_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "lines.jsonl"
    whole = "".join(f"{json.dumps(it)}\n" for it in lines())
    monkeypatch.setattr(sys, "argv", ["recipe", "--results", str(results)])
    results.write_text(f'{whole}{{"toy": "dog')
    draw_trade_off.main()
    assert capsys.readouterr().err == f"{results}, line 8 was cut off: it is left out\n"
    told = results.with_suffix(".md").read_text()
    assert told.splitlines()[:4] == list(draw_trade_off.table(lines()))
    for text, said in ((f"{{\n{whole}", "line 1 is not JSON"), ("", "has no line yet")):
        results.write_text(text)
        with pytest.raises(SystemExit) as stop:
            draw_trade_off.main()
        assert stop.value.code == 2
        assert said in capsys.readouterr().err
    assert results.with_suffix(".md").read_text() == told


@pytest.mark.parametrize(("others", "said"), [([], "is not there"), (["d", "e"], "has lines of several")])
def test_what_cannot_be_drawn_is_said(
    others: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = tmp_path / "lines.jsonl"
    if others:
        results.write_text("\n".join(json.dumps({**lines()[0], "settings": it}) for it in others))
    monkeypatch.setattr(sys, "argv", ["recipe", "--results", str(results)])
    with pytest.raises(SystemExit) as stop:
        draw_trade_off.main()
    assert stop.value.code == 2
    assert said in capsys.readouterr().err
