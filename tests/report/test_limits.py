"""What was not tested follows from what was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from apdm.benchmark.record import Figure, Result, SubjectResult
from apdm.report.limits import not_tested, threat_model

MakeSubject = Callable[..., SubjectResult]


@pytest.fixture
def result(make_subject: MakeSubject) -> Result:
    return Result((make_subject(),), False, ("DreamBooth, 300 steps",), {}, {})


@pytest.mark.parametrize(
    ("attacks", "said"),
    [
        (
            ("DreamBooth, 300 steps",),
            "Any attacker not listed above: low-rank adapters, Custom Diffusion, Textual Inversion.",
        ),
        (
            ("lora at rank 4", "Textual Inversion"),
            "Any attacker not listed above: DreamBooth, Custom Diffusion.",
        ),
        (("the attack that made these pictures",), "Any attacker not listed above."),
        (("DreamBooth, LoRA, Custom Diffusion, Textual Inversion",), "Any attacker not listed above."),
    ],
)
def test_no_attacker_is_called_untested_who_attacked(
    attacks: tuple[str, ...], said: str, result: Result
) -> None:
    assert not_tested(replace(result, attacks=attacks))[0] == said


def test_another_subject_is_named_only_where_one_was_measured(result: Result) -> None:
    assert "beyond class pictures: " in not_tested(result)[3]
    assert "other subjects" in not_tested(result)[3]
    ratio = Figure(0.9, 0.8, 1.0, 32)
    shown = replace(result, subjects=(replace(result.subjects[0], other_subject_strength_ratio=ratio),))
    assert "the one other subject shown here: " in not_tested(shown)[3]
    assert "other subjects" not in not_tested(shown)[3]


def test_photographs_are_untested_on_toys_only(result: Result) -> None:
    assert not_tested(replace(result, toy=True))[-1] == "Photographs, and models of full size."
    assert "Photographs" not in not_tested(result)[-1]


def test_the_threat_model_has_three_lines_and_names_the_attacks(result: Result) -> None:
    lines = threat_model(replace(result, attacks=("a", "b")))
    assert len(lines) == 3
    assert "not yet public" in lines[0]
    assert "nothing against someone who holds the original weights" in lines[1]
    assert lines[2].endswith("nothing beyond measured resistance under the listed attacks.")
