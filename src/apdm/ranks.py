"""One job in several processes (`accelerate launch`), each with a share of every batch's rows.

All of them hold the same weights and draw the whole batch alike, from the same named streams, so a row's
noise and time do not depend on who runs it. `shared` divides a pass of the network by rows and gives the
whole batch's back to everybody. So a loss, whatever it makes of a batch, has one and the same value
everywhere; a process lacks only what the others' rows add to its gradient, and `average` brings that in.

No wrapper of the network does it: a protection swaps weights and calls several networks before it goes back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from apdm.errors import InputError

NUMBERS = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT")  # that a launcher gives to each process
BUCKET = 2**25  # numbers sent at a time, 128 MB; bounds the memory of joining them [our choice]


def first() -> bool:
    """Whether this process writes and speaks for all; the only one does."""
    return launched() == 1 or os.environ["RANK"] == "0"


def launched() -> int:
    """How many processes a launcher has started for this job: one, unless it says all that they need to join.
    Clusters set some of it in every container. Raises `InputError`."""
    if not all(name in os.environ for name in ("MASTER_ADDR", *NUMBERS)):
        return 1
    for name in NUMBERS:
        if not os.environ[name].isdecimal():
            raise InputError(f"{name} is '{os.environ[name]}'", fix="unset it, or use accelerate launch")
    return int(os.environ["WORLD_SIZE"])


def count() -> int:
    """How many processes have joined."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@contextmanager
def joined() -> Iterator[None]:
    """Joins the processes that a launcher has started."""
    on_gpus = torch.cuda.is_available() and dist.is_nccl_available()
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo")
    yield
    dist.destroy_process_group()  # not after an error: the others may never come


def own_device(device: str) -> str:
    """This process's of what `device` names. Raises `InputError` for one that cannot be had by several."""
    if count() == 1 or device == "cpu":
        return device
    if device != "cuda":
        raise InputError(f"{count()} processes cannot share {device}", fix="give cuda or cpu")
    return f"cuda:{os.environ['LOCAL_RANK']}"


def shared(of: Callable[..., Tensor], *batch: Any) -> Tensor:
    """`of(*batch)`, all of whose arguments and whose value have a row for each sample, of which every process
    makes a part: as many as any other, or one less. Where that is none, one is made that does not count."""
    if count() == 1:
        return of(*batch)
    total = len(batch[0])
    start, stop = (total * (dist.get_rank() + ahead) // count() for ahead in (0, 1))
    made = of(*(rows[start : max(stop, start + 1)] for rows in batch))
    return _Whole.apply(made[: stop - start], start, total)


class _Whole(torch.autograd.Function):
    """Rows of all processes, together in each of them. The gradient of a process's own comes back to it,
    times the number of processes, since `average` divides."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor, start: int, total: int) -> Tensor:
        whole = mine.new_zeros(total, *mine.shape[1:])
        ctx.rows = slice(start, start + len(mine))
        whole[ctx.rows] = mine
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return count() * gradients[0][ctx.rows], None, None


@torch.no_grad()
def average(weights: Iterable[Tensor]) -> None:
    """Puts the mean over all processes in place of each weight's gradient, joined into long vectors."""
    if count() == 1:
        return
    for bucket in _buckets(weight.grad for weight in weights if weight.grad is not None):
        flat = torch.cat([gradient.flatten() for gradient in bucket])
        dist.all_reduce(flat)
        flat /= count()
        for gradient, mean in zip(bucket, flat.split([it.numel() for it in bucket]), strict=True):
            gradient.copy_(mean.view_as(gradient))


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Gradients of one type and place, `BUCKET` numbers at most or a single one."""
    for _, alike in groupby(gradients, key=lambda it: (it.dtype, it.device)):
        bucket: list[Tensor] = []
        for gradient in alike:
            if bucket and sum(it.numel() for it in bucket) + gradient.numel() > BUCKET:
                yield bucket
                bucket = []
            bucket.append(gradient)
        yield bucket
