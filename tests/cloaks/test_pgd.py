"""Sign steps and the ball that they stay in, with the arithmetic written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from apdm.cloaks.pgd import Ball, Climb
from apdm.errors import InputError
from apdm.seeding import derive
from apdm.watch import silent


def values(*numbers: float) -> Tensor:
    return torch.tensor(numbers).view(1, 1, 1, -1)


def test_projection_keeps_to_the_radius_and_to_the_range() -> None:
    ball = Ball(values(0.0, 0.0, 0.95, -0.95), 0.1)
    projected = ball.project(values(0.05, -0.5, 2.0, -2.0))
    assert projected.flatten().tolist() == pytest.approx([0.05, -0.1, 1.0, -1.0])


def test_a_step_goes_along_the_sign_whatever_the_slope() -> None:
    ball = Ball(values(0.0, 0.0, 0.0, 0.0), 0.1)
    moved = ball.step(values(0.0, 0.0, 0.0, 0.08), values(1e-9, -1e9, 0.0, 3.0), 0.04)
    assert moved.flatten().tolist() == pytest.approx([0.04, -0.04, 0.0, 0.1])


def test_anywhere_is_uniform_in_the_ball() -> None:
    ball = Ball(torch.zeros(50, 3, 8, 8), 0.1)
    start = ball.anywhere(torch.Generator().manual_seed(0))
    assert start.abs().max() <= 0.1
    assert start.abs().mean() == pytest.approx(0.05, rel=0.02)
    assert start.mean().abs() < 0.001


def test_a_climb_counts_tells_and_draws_anew(heard) -> None:
    seeds: list[int] = []

    def objective(pictures: Tensor, draws: torch.Generator) -> Tensor:
        seeds.append(draws.initial_seed())
        return -(pictures - values(1.0, -1.0)).square().sum()

    climb = Climb(Ball(values(0.0, 0.0), 0.25), 0.1, 2, 4, heard)
    first = climb(values(0.0, 0.0), objective, 7)
    second = climb(first, objective, 8)
    assert first.flatten().tolist() == pytest.approx([0.2, -0.2])
    assert second.flatten().tolist() == pytest.approx([0.25, -0.25])  # the ball's border
    assert not second.requires_grad
    assert seeds == [derive(seed, "climb", step) for seed in (7, 8) for step in (0, 1)]
    assert heard.steps == [("cloak", done, 4) for done in range(5)]
    assert [f["objective"] for f in heard.figures[1:3]] == pytest.approx([-2.0, -2 * 0.9**2])


def test_a_climb_leaves_its_start_as_it_is() -> None:
    start = values(0.0, 0.0)
    Climb(Ball(start, 0.25), 0.1, 1, 1, silent)(start, lambda pictures, draws: pictures.sum(), 0)
    assert start.flatten().tolist() == [0, 0]
    assert not start.requires_grad


def test_a_climb_that_diverges_stops_with_one_line() -> None:
    climb = Climb(Ball(values(0.0), 0.1), 0.1, 1, 1, silent)
    with pytest.raises(InputError, match=r"the cloak diverged at step 1, its loss is .*: lower the rates"):
        climb(values(0.0), lambda pictures, draws: pictures.sum() / 0, 0)
