"""AdvDM: the error of a fixed model goes up."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from apdm.cloaks.advdm import AdvDM
from apdm.cloaks.base import CloakMaterial
from apdm.cloaks.budget import Budget
from apdm.cloaks.objective import instance_error
from apdm.cloaks.pgd import Ball
from apdm.seeding import generator


def error_at(model, pictures: Tensor, prompt: str) -> float:
    """The mean error over many draws that stay the same."""
    with torch.no_grad():
        return instance_error(model, prompt)(pictures.repeat(200, 1, 1, 1), generator(0)).item()


def test_the_defaults_are_mists_semantic_mode() -> None:
    cloak = AdvDM()
    assert (cloak.budget.grey_levels, cloak.step_size.grey_levels) == pytest.approx((16, 1))
    assert (cloak.steps, cloak.rounds) == (100, 1)


def test_the_error_rises(tiny, material: CloakMaterial) -> None:
    cloak = AdvDM(budget=Budget(1.0, (-1, 1)), step_size=Budget(0.1, (-1, 1)), steps=30)
    cloaked = cloak(tiny, material, 0)
    there = error_at(tiny, cloaked, material.instance_prompt)
    assert there > error_at(tiny, material.pixels, material.instance_prompt)


def test_it_begins_anywhere_in_the_ball() -> None:
    ball = Ball(torch.zeros(1, 3, 8, 8), 0.1)
    start = AdvDM().start(ball, generator(0))
    assert torch.equal(start, ball.anywhere(generator(0)))
    assert start.abs().max() > 0.09
