"""Budgets: the published ones in grey levels, and the numbers that say too little."""

from __future__ import annotations

import pytest

from apdm.cloaks.budget import Budget
from apdm.errors import InputError

# What code states, on the range of its tensors, and what that is of 255 grey levels.
PUBLISHED = [
    ("0.05@[-1,1]", 6.375),  # Anti-DreamBooth, PAP, CAAT
    ("0.005@[-1,1]", 0.6375),  # their step
    ("1/255@[-1,1]", 0.5),  # PAP's step
    ("16/255@[-1,1]", 8),  # SimAC
    ("32/255@[-1,1]", 16),  # Mist v1: 16 x 2/255
    ("8/255@[-1,1]", 4),  # GrIDPure's AdvDM
    ("0.04@[-1,1]", 5.1),  # Mist v2's script
    ("11@[0,255]", 11),  # MetaCloak
    ("1.1@[0,255]", 1.1),  # its step
    ("8/255", 8),
    ("0.05@[0,1]", 12.75),
]


@pytest.mark.parametrize(("text", "levels"), PUBLISHED)
def test_published_budgets_in_grey_levels_and_back(text: str, levels: float) -> None:
    budget = Budget.parse(text)
    assert budget.grey_levels == pytest.approx(levels)
    assert budget.in_pixels == pytest.approx(levels / 127.5)
    assert str(budget) == text
    assert Budget.parse(str(budget)) == budget


def test_blanks_and_equal_budgets_of_other_ranges() -> None:
    assert Budget.parse(" 0.05 @ [-1, 1] ") == Budget(0.05, (-1, 1))
    same = [Budget.parse(text).in_pixels for text in ("8/255", "16/255@[-1,1]", "8@[0,255]")]
    assert same == pytest.approx([16 / 255] * 3)


@pytest.mark.parametrize("text", ["0.05", "8", "16/100", ".05"])
def test_a_number_without_its_range_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"does not say of what range: write 8/255 .* 0\.05@\[-1,1\]"):
        Budget.parse(text)


@pytest.mark.parametrize(
    "text", ["", "much", "-1/255", "0.05@[-1,1", "0.05@[0,2]", "1/0@[0,1]", "1e999@[-1,1]", "nan@[0,1]"]
)
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Budget.parse(text)
