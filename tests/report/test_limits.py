"""What was not tested follows from what was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from apdm.benchmark.record import Figure, Result, SubjectResult
from apdm.direction import Direction
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
            "Any attacker not listed above: DreamBooth with full fine-tuning, Custom Diffusion.",
        ),
        (
            ("DreamBooth-LoRA, 500 steps", "Custom Diffusion"),
            "Any attacker not listed above: DreamBooth with full fine-tuning, Textual Inversion.",
        ),
        (
            ("DreamBooth with LoRA, rank 4", "DreamBooth, 300 steps"),
            "Any attacker not listed above: Custom Diffusion, Textual Inversion.",
        ),
        (
            ("DreamBooth and LoRA",),
            "Any attacker not listed above: Custom Diffusion, Textual Inversion.",
        ),
        (("the attack that made these pictures",), "Any attacker not listed above."),
        (("DreamBooth, LoRA, Custom Diffusion, Textual Inversion",), "Any attacker not listed above."),
    ],
)
def test_no_attacker_is_called_untested_who_attacked(
    attacks: tuple[str, ...], said: str, result: Result
) -> None:
    assert not_tested(replace(result, attacks=attacks))[0] == said


SKILLS = "following long prompts, counting, composing"


def test_only_what_was_measured_is_named_as_tested(result: Result) -> None:
    beyond = "What else the model can do"
    bare = result.subjects[0]
    ratio = Figure(0.9, 0.8, 1.0, 32)
    shown = replace(bare, other_subject_strength_ratio=ratio)
    way = {"class_unprotected": ratio, "class_protected": replace(ratio, direction=Direction.LOWER_PRESERVES)}
    scored = replace(bare, name="max", further={"CMMD": way})
    both = replace(shown, further=scored.further)
    for subjects, said in (
        ((bare,), f"{beyond}: class pictures, {SKILLS}, other subjects."),
        ((shown,), f"{beyond} beyond the one other subject shown here: class pictures, {SKILLS}."),
        ((scored,), f"{beyond} beyond class pictures: {SKILLS}, other subjects."),
        ((scored, bare), f"{beyond}: class pictures, {SKILLS}, other subjects."),
        ((both,), f"{beyond} beyond class pictures and the one other subject shown here: {SKILLS}."),
    ):
        assert not_tested(replace(result, subjects=subjects))[3] == said


def test_photographs_are_untested_on_toys_only(result: Result) -> None:
    assert not_tested(replace(result, toy=True))[-1] == "Photographs, and models of full size."
    assert "Photographs" not in not_tested(result)[-1]


def test_the_threat_model_has_three_lines_and_names_the_attacks(result: Result) -> None:
    lines = threat_model(replace(result, attacks=("a", "b")))
    assert len(lines) == 3
    assert "not yet public" in lines[0]
    assert "nothing against someone who holds the original weights" in lines[1]
    assert lines[2].endswith("nothing beyond measured resistance under the listed attacks.")
