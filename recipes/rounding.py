"""How weights are rounded for a release, and what of a small change such a file still holds."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

FORMS = ("fp16", "bf16", "int8")
HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}
LEVELS = 127  # of eight bits, symmetric around zero


def step(weight: Tensor) -> Tensor:
    """What one of int8's levels is worth: the tensor's largest weight is the last of them (our choice, the
    plainest one; files with a step for each row or group lose less)."""
    return weight.abs().max().clamp(min=torch.finfo(weight.dtype).tiny) / LEVELS


def stored(weight: Tensor, form: str) -> Tensor:
    """The numbers that stand in the file; int8's step stands beside them."""
    if form == "int8":
        return (weight / step(weight)).round().to(torch.int8)
    return weight.to(HALF[form])


def rounded(weights: Mapping[str, Tensor], form: str) -> dict[str, Tensor]:
    """`weights` as they are read back from the file, in their own precision."""

    def read(weight: Tensor) -> Tensor:
        back = stored(weight, form).to(weight.dtype)
        return back * step(weight) if form == "int8" else back

    return {name: read(weight.detach()) for name, weight in weights.items()}


def vanished(before: Mapping[str, Tensor], after: Mapping[str, Tensor], form: str) -> float:
    """The share of weights that are read back alike from both files: what moved them is not in the file."""
    was, now = rounded(before, form), rounded(after, form)
    same = sum(int((was[name] == now[name]).sum()) for name in before)
    return same / sum(weight.numel() for weight in before.values())
