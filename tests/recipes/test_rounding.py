"""What a file of fewer bits holds, by hand."""

from __future__ import annotations

import pytest
import torch

from rounding import rounded, step, vanished

WEIGHT = torch.tensor([1.27, -0.636, 0.004, 0.0])


@pytest.mark.parametrize(
    ("form", "read"),
    [
        ("int8", [1.27, -0.64, 0.0, 0.0]),  # steps of .01
        ("bf16", [1.2734375, -0.63671875, 0.003997802734375, 0.0]),  # eight bits of a number
        ("fp16", [1.26953125, -0.63623046875, 0.004001617431640625, 0.0]),  # eleven
    ],
)
def test_a_weight_is_read_back_as_the_nearest_that_there_is(form: str, read: list[float]) -> None:
    back = rounded({"w": WEIGHT}, form)["w"]
    assert back.dtype == torch.float32
    assert back.tolist() == pytest.approx(read, abs=1e-7)


def test_nothing_but_zeros_stays_so() -> None:
    assert step(torch.zeros(3)) > 0  # nothing is divided by zero
    assert rounded({"w": torch.zeros(3)}, "int8")["w"].tolist() == [0, 0, 0]


def test_a_step_is_of_its_own_tensor() -> None:
    weights = {"large": torch.tensor([127.0, 0.4]), "small": torch.tensor([1.27, 0.4])}
    assert [v.tolist() for v in rounded(weights, "int8").values()] == [
        pytest.approx([127, 0]),
        pytest.approx([1.27, 0.4]),
    ]


def test_the_share_that_is_read_back_alike() -> None:
    """bfloat16 tells 1 from 1 + 1/128, and .5 from .5 + 1/256."""
    before = {"a": torch.tensor([1.0, 1.0]), "b": torch.tensor([0.5, 0.5, 0.5])}
    after = {"a": torch.tensor([1.003, 1.005]), "b": torch.tensor([0.5015, 0.503, 0.5])}
    assert vanished(before, after, "bf16") == 3 / 5
    assert vanished(before, after, "fp16") == 1 / 5


def test_what_moves_the_step_alone_has_not_vanished() -> None:
    """The same eight bits stand in both files, and another step beside them."""
    assert vanished({"w": WEIGHT}, {"w": WEIGHT * 1.003}, "int8") == 2 / 4  # the two that are read as 0
