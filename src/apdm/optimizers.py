"""AdamW as every method of the field uses it, with what it remembers in 32 bits or in 8."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from apdm.errors import Diverged, InputError
from apdm.types import Scalar

BETAS = (0.9, 0.999)  # APDM sec. 4.1 and diffusers' DreamBooth script
WEIGHT_DECAY = 1e-2  # the same
EPSILON = 1e-8  # the same
MAPS = ("qmap1", "qmap2")  # what a byte of 8-bit AdamW means; fixed, and shared by all weights


def adamw(parameters: Iterable[Tensor], learning_rate: float, in_8_bits: bool = False) -> Optimizer:
    """One fused kernel for all parameters, with the arithmetic of the plain loop; or bitsandbytes', a kernel
    for each, which keeps the moments of weights of 4096 numbers and more as a byte a number, scaled in blocks
    of 256 (Dettmers et al. 2022), and steps as diffusers' scripts do with `--use_8bit_adam`."""
    settings: dict[str, Any] = {
        "lr": learning_rate,
        "betas": BETAS,
        "weight_decay": WEIGHT_DECAY,
        "eps": EPSILON,
    }
    if in_8_bits:
        return _adamw_8bit(parameters, settings)
    return torch.optim.AdamW(parameters, fused=True, **settings)


def check_8bit_installed() -> None:
    """Raises `InputError` where bitsandbytes is not."""
    if find_spec("bitsandbytes") is None:
        raise InputError("8-bit Adam needs bitsandbytes", fix="pip install 'apdm[8bit]'")


def _adamw_8bit(parameters: Iterable[Tensor], settings: dict[str, Any]) -> Optimizer:
    base: Any = import_module("bitsandbytes").optim.AdamW8bit  # an extra, and slow to import

    class AdamW8bit(base):
        """Counts its steps in a tensor, which a checkpoint can hold and put back, and not in a number."""

        def init_state(self, group: Any, p: Tensor, gindex: int, pindex: int) -> None:
            base.init_state(self, group, p, gindex, pindex)
            self.state[p]["step"] = torch.zeros((), dtype=torch.int64, device=p.device)

        def update_step(self, group: Any, p: Tensor, gindex: int, pindex: int) -> None:
            state = self.state[p]
            count = state["step"]
            state["step"] = int(count)  # what the original counts up and hands to its kernel
            base.update_step(self, group, p, gindex, pindex)
            state["step"] = count.add_(1)

    return AdamW8bit(parameters, **settings)


def clip(weights: Iterable[Tensor], norm: float) -> None:
    """Scales the gradients of `weights` down to `norm`, all together; 0 clips nothing."""
    if norm > 0:
        torch.nn.utils.clip_grad_norm_(weights, norm)


def reset(optimizer: Optimizer) -> None:
    """Back to the state before the first step, in the memory that is there."""
    for value in moments(optimizer).values():
        value.zero_()


def moments(optimizer: Optimizer) -> dict[str, Tensor]:
    """Everything that `optimizer` remembers, by the place of the weight, in its own memory; which is made
    here, as the first step would, where no step has been taken yet."""
    held: dict[str, Tensor] = {}
    (group,) = optimizer.param_groups
    for place, weight in enumerate(group["params"]):
        if not optimizer.state[weight]:
            _begin(optimizer, group, weight, place)
        remembered = optimizer.state[weight].items()
        held |= {f"{place}.{name}": value for name, value in remembered if name not in MAPS}
    return held


def _begin(optimizer: Any, group: dict[str, Any], weight: Tensor, place: int) -> None:
    if hasattr(optimizer, "init_state"):  # 8-bit AdamW
        optimizer.init_state(group, weight, 0, place)
        return
    count = torch.zeros((), device=weight.device)
    means = {name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq")}
    optimizer.state[weight] = {"step": count, **means}


@contextmanager
def moving_in_backward(optimizer: Optimizer) -> Generator[None]:
    """Inside, a backward pass moves each of `optimizer`'s weights as soon as its gradient is whole, and lets
    that go: the numbers of a backward pass and a step, and never all gradients at a time."""
    (group,) = optimizer.param_groups
    weights = group["params"]

    def move(weight: Tensor) -> None:
        group["params"] = [weight]  # a step of this one alone
        optimizer.step()
        weight.grad = None

    hooks = [weight.register_post_accumulate_grad_hook(move) for weight in weights]
    try:
        yield
    finally:
        group["params"] = weights
        for hook in hooks:
            hook.remove()


def finite(loss: Scalar, loop: str, step: int, fix: str = "lower its learning rate") -> float:
    """The loss as a number. Raises `Diverged` when it is none any more, before it spoils the weights."""
    value = loss.item()
    if not math.isfinite(value):
        raise Diverged(f"{loop} diverged at step {step}, its loss is {value}", fix=fix)
    return value
