"""AdamW by arithmetic, and its reset."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from apdm.errors import Diverged
from apdm.optimizers import adamw, finite, moments, moving_in_backward, reset


def descend(weight: nn.Parameter, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    """`steps` steps on (w - 2)^2."""
    weights = []
    for _ in range(steps):
        optimizer.zero_grad()
        (weight - 2).square().backward()
        optimizer.step()
        weights.append(weight.item())
    return weights


def test_steps_equal_the_arithmetic(adamw_by_hand) -> None:
    weight = nn.Parameter(torch.tensor(5.0, dtype=torch.float64))
    steps = descend(weight, adamw([weight], 0.3), 4)
    assert steps == pytest.approx(adamw_by_hand(5.0, lambda w: 2 * (w - 2), 0.3, 4), rel=1e-9)


def test_reset_brings_the_first_step_back() -> None:
    weight = nn.Parameter(torch.tensor(5.0))
    optimizer = adamw([weight], 0.3)
    first = descend(weight, optimizer, 3)
    reset(optimizer)
    with torch.no_grad():
        weight.fill_(5.0)
    assert descend(weight, optimizer, 3) == first


def test_reset_keeps_its_memory() -> None:
    weight = nn.Parameter(torch.tensor(5.0))
    optimizer = adamw([weight], 0.3)
    descend(weight, optimizer, 1)
    mean = optimizer.state[weight]["exp_avg"]
    reset(optimizer)
    descend(weight, optimizer, 1)
    assert optimizer.state[weight]["exp_avg"] is mean


def test_a_loss_that_is_no_number_stops_the_loop() -> None:
    assert finite(torch.tensor(0.5), "the attack", 1) == 0.5
    for broken in (math.nan, math.inf):
        said = f"the attack diverged at step 7, its loss is {broken}: lower its learning rate"
        with pytest.raises(Diverged, match=said):
            finite(torch.tensor(broken), "the attack", 7)


def test_moments_are_the_optimizers_own_before_and_after_a_step(adamw_by_hand) -> None:
    weights = [nn.Parameter(torch.tensor(value, dtype=torch.float64)) for value in (9.0, 5.0)]
    optimizer = adamw(weights, 0.3)
    held = moments(optimizer)
    assert held.keys() == {f"{place}.{n}" for place in (0, 1) for n in ("step", "exp_avg", "exp_avg_sq")}
    steps = descend(weights[1], optimizer, 4)
    assert steps == pytest.approx(adamw_by_hand(5.0, lambda w: 2 * (w - 2), 0.3, 4), rel=1e-9)
    assert held["1.step"].item() == 4
    assert held["0.step"].item() == 0  # its weight had no gradient
    assert held["1.exp_avg"].item() != 0
    assert all(moments(optimizer)[name] is tensor for name, tensor in held.items())


def test_weights_that_move_in_the_backward_pass_move_as_far() -> None:
    """And a gradient is gone before the next one is whole."""
    ends = []
    for inside in (False, True):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
        optimizer, held = adamw(network.parameters(), 0.1), [0]
        for weight in network.parameters():
            weight.register_hook(lambda gradient, of=network, held=held: held.append(holding(of)))
        for step in range(3):
            loss = network(torch.full((2, 4), step + 1.0)).square().mean()
            if inside:
                with moving_in_backward(optimizer):
                    loss.backward()
            else:
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
        assert max(held) == (0 if inside else 3)
        assert holding(network) == 0
        ends.append([weight.detach() for weight in network.parameters()] + list(moments(optimizer).values()))
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))
    network(torch.ones(2, 4)).sum().backward()
    assert holding(network) == 4  # outside, a backward pass is one as ever


def holding(network: nn.Module) -> int:
    """Weights that have a gradient."""
    return sum(weight.grad is not None for weight in network.parameters())
