"""AdamW by arithmetic, and its reset."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from torch import nn

from apdm.errors import Diverged, InputError
from apdm.optimizers import adamw, check_8bit_installed, finite, moments, moving_in_backward, reset


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


# In 8 bits


def network(seed: int = 0) -> nn.Module:
    """Weights of 4096 numbers, the least that bitsandbytes keeps in bytes, and of 64."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64))


def learn(of: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> list[torch.Tensor]:
    """The weights after these steps, each on a loss of its own."""
    for step in steps:
        (of(torch.full((2, 64), step + 1.0)) - step).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return [weight.detach().clone() for weight in of.parameters()]


def test_it_goes_on_from_what_it_remembers(eight_bit) -> None:
    """As a checkpoint does: everything by name, put back into the memory of another."""
    one, other = network(), network(seed=1)
    stopped, resumed = (adamw(it.parameters(), 0.01, in_8_bits=True) for it in (one, other))
    learn(one, stopped, range(3))
    with torch.no_grad():
        for mine, kept in zip(other.parameters(), one.parameters(), strict=True):
            mine.copy_(kept)
        for name, mine in moments(resumed).items():
            mine.copy_(moments(stopped)[name])
    ends = [learn(it, of, range(3, 6)) for it, of in ((one, stopped), (other, resumed))]
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))
    assert {n: int(step) for n, step in moments(resumed).items() if "step" in n} == {
        f"{place}.step": 6 for place in range(4)
    }


def test_what_it_remembers_is_bytes_in_its_own_memory(eight_bit) -> None:
    of = network()
    optimizer = adamw(of.parameters(), 0.01, in_8_bits=True)
    before = moments(optimizer)
    assert not any(value.any() for value in before.values())
    learn(of, optimizer, range(2))
    after = moments(optimizer)
    assert all(value is before[name] for name, value in after.items())
    assert {name for name in after if name.startswith("0.")} == {
        f"0.{name}" for name in ("step", "state1", "state2", "absmax1", "absmax2")
    }
    assert after["0.state1"].dtype == after["0.state2"].dtype == torch.uint8
    assert all(value.any() for value in after.values())


def test_reset_brings_its_first_step_back(eight_bit) -> None:
    of = network()
    optimizer = adamw(of.parameters(), 0.01, in_8_bits=True)
    first = learn(of, optimizer, range(3))
    reset(optimizer)
    with torch.no_grad():
        for weight, begun in zip(of.parameters(), network().parameters(), strict=True):
            weight.copy_(begun)
    assert all(torch.equal(a, b) for a, b in zip(learn(of, optimizer, range(3)), first, strict=True))


def test_its_weights_move_as_far_in_the_backward_pass(eight_bit) -> None:
    one, other = network(), network()
    outside, inside = (adamw(it.parameters(), 0.01, in_8_bits=True) for it in (one, other))
    learn(one, outside, range(3))
    for step in range(3):
        with moving_in_backward(inside):
            (other(torch.full((2, 64), step + 1.0)) - step).square().mean().backward()
        assert holding(other) == 0
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    ends = [learn(it, of, range(3, 4)) for it, of in ((one, outside), (other, inside))]
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))  # again all weights in a step


def test_its_steps_are_nearly_those_of_32_bits() -> None:
    """bitsandbytes' own; of the weights that it keeps in 32 bits, to rounding."""
    pytest.importorskip("bitsandbytes", reason="the extra apdm[8bit] is not installed")
    exact, rough = (
        learn(it, adamw(it.parameters(), 0.01, in_8_bits=bits), range(20))
        for it, bits in ((network(), False), (network(), True))
    )
    begun = list(network().parameters())
    moved = [(weight - start).norm() for weight, start in zip(exact, begun, strict=True)]
    apart = [(a - b).norm() for a, b in zip(exact, rough, strict=True)]
    assert all(0 < far < 0.05 * way for far, way in zip(apart, moved, strict=True))


def test_small_weights_step_as_the_arithmetic_says(adamw_by_hand) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra apdm[8bit] is not installed")
    weight = nn.Parameter(torch.tensor(5.0))
    steps = descend(weight, adamw([weight], 0.3, in_8_bits=True), 4)
    assert steps == pytest.approx(adamw_by_hand(5.0, lambda w: 2 * (w - 2), 0.3, 4), rel=1e-5)


def test_without_its_package_it_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(InputError, match=r"8-bit Adam needs bitsandbytes: pip install 'apdm\[8bit\]'"):
        check_8bit_installed()
