"""Bars come and go; the log stays."""

from __future__ import annotations

import json
import os
import re
import threading
from pathlib import Path

import pytest

from apdm.cli.progress import BARS, progress


def test_every_step_is_a_line_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    with progress(log) as watch:
        watch("protect dog", 1, 2, {"loss": 0.5})
        assert len(log.read_text().splitlines()) == 1  # at once, for who follows it
        watch("protect dog", 2, 2, {"loss": 0.25})
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(x["task"], x["done"], x["total"], x["loss"]) for x in lines] == [
        ("protect dog", 1, 2, 0.5),
        ("protect dog", 2, 2, 0.25),
    ]


def test_the_log_is_whole_after_an_error(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"

    def break_off() -> None:
        with progress(log) as watch:
            watch("attack", 1, 2, {})
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        break_off()
    assert json.loads(log.read_text())["task"] == "attack"


def test_a_task_may_run_twice(tmp_path: Path) -> None:
    with progress(tmp_path / "log.jsonl") as watch:
        for _ in range(2):
            watch("generate", 1, 1, {})
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


def test_a_line_that_a_kill_has_cut_off_makes_way(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"task": "protect"}\n{"task": "pro')
    with progress(log) as watch:
        watch("protect", 1, 1, {})
    first, second = (json.loads(line) for line in log.read_text().splitlines())
    assert (first["task"], second["done"]) == ("protect", 1)


def test_lines_that_are_whole_are_not_written_again(tmp_path: Path) -> None:
    """Another process may be adding to them: two of a bench share a log."""
    log = tmp_path / "log.jsonl"
    log.write_text('{"task": "protect"}\n')
    os.utime(log, (0, 0))
    with progress(log):
        assert log.stat().st_mtime == 0
    assert log.read_text() == '{"task": "protect"}\n'


def test_a_task_is_called_as_a_folder_is(capfd: pytest.CaptureFixture[str]) -> None:
    with progress() as watch:
        watch("TIFA [b]/[/a]", 1, 1, {})
    assert "TIFA [b]/[/a]" in capfd.readouterr().err


def test_who_has_others_work_for_him_says_nothing_of_his_memory(capfd: pytest.CaptureFixture[str]) -> None:
    for memory, units in ((True, 1), (False, 0)):
        with progress(memory=memory) as watch:
            watch("attack", 2, 2, {})
        assert len(re.findall(r"[kMG]B|bytes", capfd.readouterr().err)) == units


def test_nothing_draws_bars_that_nobody_sees() -> None:
    """Into a file they are drawn once, at the end."""
    threads = threading.active_count()
    with progress() as watch:
        watch("attack", 0, 2, {})
        assert threading.active_count() == threads


def test_of_what_is_done_the_last_are_drawn(capfd: pytest.CaptureFixture[str]) -> None:
    """A bench has hundreds, which would hide those that still run; the log has all of them."""
    with progress() as watch:
        watch("first", 1, 2, {})
        for number in range(2 * BARS):
            watch(f"task {number}", 1, 1, {})
        watch("last", 0, 2, {})
    drawn = re.findall(r"^(first|last|task \d+)", capfd.readouterr().err, re.MULTILINE)
    assert drawn == ["first", *(f"task {number}" for number in range(BARS + 2, 2 * BARS)), "last"]
