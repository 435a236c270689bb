"""AdamW as every method of the field uses it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
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


def finite(loss: Scalar, loop: str, step: int, fix: str = "lower its learning rate") -> float:
    """The loss as a number. Raises `Diverged` when it is none any more, before it spoils the weights."""
    value = loss.item()
    if not math.isfinite(value):
        raise Diverged(f"{loop} diverged at step {step}, its loss is {value}", fix=fix)
    return value
