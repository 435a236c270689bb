"""AdamW as every method of the field uses it."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from contextlib import contextmanager

import torch
import torch.optim.adamw as functional
from torch import Tensor

from apdm.errors import Diverged
from apdm.types import Scalar

BETAS = (0.9, 0.999)  # APDM sec. 4.1 and diffusers' DreamBooth script
WEIGHT_DECAY = 1e-2  # the same
EPSILON = 1e-8  # the same


def adamw(parameters: Iterable[Tensor], learning_rate: float) -> torch.optim.AdamW:
    """One fused kernel for all parameters; same arithmetic as the plain loop."""
    return torch.optim.AdamW(
        parameters, lr=learning_rate, betas=BETAS, weight_decay=WEIGHT_DECAY, eps=EPSILON, fused=True
    )


def clip(weights: Iterable[Tensor], norm: float) -> None:
    """Scales the gradients of `weights` down to `norm`, all together; 0 clips nothing."""
    if norm > 0:
        torch.nn.utils.clip_grad_norm_(weights, norm)


def reset(optimizer: torch.optim.AdamW) -> None:
    """Back to the state before the first step, in the memory that is there."""
    for state in optimizer.state.values():
        for value in state.values():
            value.zero_()


def moments(optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    """Everything that `optimizer` remembers, by the place of the weight, in its own memory; which is made
    here, as the first step would, where no step has been taken yet."""
    held: dict[str, Tensor] = {}
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for place, weight in enumerate(weights):
        if not optimizer.state[weight]:
            count = torch.zeros((), device=weight.device)
            means = {name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq")}
            optimizer.state[weight] = {"step": count, **means}
        held |= {f"{place}.{name}": value for name, value in optimizer.state[weight].items()}
    return held


@contextmanager
def moving_in_backward(optimizer: torch.optim.AdamW) -> Generator[None]:
    """Inside, a backward pass moves each of `optimizer`'s weights as soon as its gradient is whole, and lets
    that go: the numbers of a backward pass and a step, and never all gradients at a time."""
    (group,) = optimizer.param_groups
    moments(optimizer)
    fixed = {name: group[name] for name in ("lr", "weight_decay", "eps", "amsgrad", "maximize", "fused")}
    beta1, beta2 = group["betas"]

    def move(weight: Tensor) -> None:
        state = optimizer.state[weight]
        means, squares, count = state["exp_avg"], state["exp_avg_sq"], state["step"]
        assert weight.grad is not None
        with torch.no_grad():
            functional.adamw(
                [weight], [weight.grad], [means], [squares], [], [count], beta1=beta1, beta2=beta2, **fixed
            )
        weight.grad = None

    hooks = [weight.register_post_accumulate_grad_hook(move) for weight in group["params"]]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def finite(loss: Scalar, loop: str, step: int, fix: str = "lower its learning rate") -> float:
    """The loss as a number. Raises `Diverged` when it is none any more, before it spoils the weights."""
    value = loss.item()
    if not math.isfinite(value):
        raise Diverged(f"{loop} diverged at step {step}, its loss is {value}", fix=fix)
    return value
