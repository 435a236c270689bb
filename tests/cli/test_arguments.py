"""Flags from classes: dashes and underscores, presets, and complaints of one line."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass

import pytest

from apdm.cli.arguments import choice, read
from apdm.cloaks.budget import Budget
from apdm.errors import InputError


@dataclass(frozen=True)
class Wanted:
    """Something."""

    learning_rate: float
    """How fast."""
    quiet: bool = False
    """Say nothing."""
    count: int | None = None
    """How many."""


def test_dashes_and_underscores_are_the_same() -> None:
    for flag in ("--learning_rate", "--learning-rate"):
        assert read(Wanted, "verb", [flag, "2", "--quiet"], "example") == Wanted(2.0, quiet=True)


def test_a_switch_can_be_said_both_ways() -> None:
    for flag, quiet in (("--quiet", True), ("--no_quiet", False)):
        assert read(Wanted, "verb", ["--learning_rate", "2", flag], "example").quiet is quiet


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing from apdm verb: --learning_rate FLOAT How fast."),
        (["--learning_rate", "fast"], "Error parsing --learning_rate: could not convert"),
        (["--learning_rate", "2", "more"], "Unrecognized options: more: see"),
        (["--learning_rate", "2", "--count", "few"], "Error parsing --count: no type matching {None}|INT"),
    ],
)
def test_a_complaint_is_one_line_without_frames(arguments: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(Wanted, "verb", arguments, "example")
    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith("see 'apdm verb --help'")
    assert not set("\n│╭─<") & set(str(caught.value))


def test_a_complaint_has_no_frame_of_dashes_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())  # of no encoding, as tyro sees it
    with pytest.raises(InputError) as caught:
        read(Wanted, "verb", [], "example")
    assert str(caught.value).startswith("Missing from")
    assert "---" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--learnin-rate", "1"], "no flag --learnin-rate: did you mean --learning_rate? see"),
        (["--learning_rate", "1", "--quite"], "no flag --quite: did you mean --quiet? see"),
        (["--learning_rate", "1", "--zzz"], "no flag --zzz: see"),
    ],
)
def test_a_flag_that_is_not_there_is_named_with_the_nearest(arguments: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(Wanted, "verb", arguments, "example")
    assert str(caught.value) == f"there is {said} 'apdm verb --help'"


def test_a_choice_is_found_wherever_it_stands() -> None:
    names = ("published", "toybox")
    assert choice(["model", "--preset", "toybox"], "preset", names, "published") == "toybox"
    assert choice(["--preset=toybox", "model"], "preset", names, "published") == "toybox"
    assert choice(["model"], "preset", names, "published") == "published"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--preset", "other"], "published, toybox"),
        (["--preset"], "published"),
        (["--preset=toybx"], "mean 'toybox'"),
    ],
)
def test_an_unknown_choice_names_the_known_or_the_nearest(arguments: list[str], hint: str) -> None:
    with pytest.raises(InputError, match=hint):
        choice(arguments, "preset", ("published", "toybox"), "published")


@dataclass(frozen=True)
class Limited:
    """Something with a limit."""

    budget: Budget = Budget(16 / 255, (-1, 1))
    """How far."""


def test_a_budget_is_one_word_that_names_its_range(capsys: pytest.CaptureFixture[str]) -> None:
    assert read(Limited, "verb", [], "example").budget == Budget(16 / 255, (-1, 1))
    assert read(Limited, "verb", ["--budget", "0.05@[-1,1]"], "example").budget == Budget(0.05, (-1, 1))
    with pytest.raises(InputError, match=r"budget 0\.05 does not say of what range: write 8/255"):
        read(Limited, "verb", ["--budget", "0.05"], "example")
    with pytest.raises(SystemExit):
        read(Limited, "verb", ["--help"], "example")
    assert "16/255@[-1,1]" in capsys.readouterr().out
