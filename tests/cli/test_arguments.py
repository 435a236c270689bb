"""Flags from classes: dashes and underscores, presets, and complaints of one line."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from apdm.cli.arguments import choice, read
from apdm.errors import InputError


@dataclass(frozen=True)
class Wanted:
    """Something."""

    learning_rate: float
    """How fast."""
    quiet: bool = False
    """Say nothing."""


def test_dashes_and_underscores_are_the_same() -> None:
    for flag in ("--learning_rate", "--learning-rate"):
        assert read(Wanted, "verb", [flag, "2", "--quiet"], "example") == Wanted(2.0, quiet=True)


def test_a_switch_can_be_said_both_ways() -> None:
    for flag, quiet in (("--quiet", True), ("--no_quiet", False)):
        assert read(Wanted, "verb", ["--learning_rate", "2", flag], "example").quiet is quiet


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "learning_rate"),
        (["--learning_rate", "fast"], "'fast'"),
        (["--learnin_rate", "1"], "--learnin_rate"),
    ],
)
def test_a_complaint_is_one_line_without_frames(arguments: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(Wanted, "verb", arguments, "example")
    assert said in str(caught.value)
    assert str(caught.value).endswith("see 'apdm verb --help'")
    assert not set("\n│╭─") & set(str(caught.value))
    assert "options Unrecognized" not in str(caught.value)


def test_a_preset_is_found_wherever_it_stands() -> None:
    names = ("published", "toybox")
    assert choice(["model", "--preset", "toybox"], "preset", names, "published") == "toybox"
    assert choice(["--preset=toybox", "model"], "preset", names, "published") == "toybox"
    assert choice(["model"], "preset", names, "published") == "published"


@pytest.mark.parametrize("arguments", [["--preset", "other"], ["--preset"]])
def test_an_unknown_preset_names_the_known(arguments: list[str]) -> None:
    with pytest.raises(InputError, match="published, toybox"):
        choice(arguments, "preset", ("published", "toybox"), "published")


def test_a_flag_that_is_needed_beforehand_offers_the_nearest() -> None:
    known = ("apdm", "ascent")
    assert choice(["model", "--method=ascent"], "method", known, "apdm") == "ascent"
    assert choice(["model"], "method", known, "apdm") == "apdm"
    with pytest.raises(InputError, match="there is no method 'asent': did you mean 'ascent'"):
        choice(["--method", "asent"], "method", known, "apdm")
