"""What a metric gives back, and what a network must offer to be its eye."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from apdm.direction import Direction
from apdm.types import Pixels

Plain = float | int | str | None  # what JSON can say

BATCH = 32  # images a pass; our choice, 224-px networks then stay below 1 GB


@dataclass(frozen=True)
class Interval:
    """An estimate and the two ends of its 95 % interval; NaN where undefined, infinite where open."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Plain]:
        """Plain numbers for JSON; what is not finite becomes None."""
        return {name: _finite(getattr(self, name)) for name in ("value", "low", "high")}


@dataclass(frozen=True)
class Score(Interval):
    """An interval with what a reader needs to judge it.

    `n` counts the images behind the value, `excluded` those that have none (a flat image has no
    BRISQUE). `direction` is that of the score's usual use. `extractor` and `fingerprint` name the network
    that looked and the SHA-256 of its weights.
    """

    metric: str
    n: int
    direction: Direction
    extractor: str
    fingerprint: str
    excluded: int = 0

    @classmethod
    def of(
        cls,
        interval: Interval,
        *,
        metric: str,
        n: int,
        direction: Direction,
        extractor: str,
        fingerprint: str,
        excluded: int = 0,
    ) -> Score:
        """`interval` with what a reader needs to judge it."""
        ends = interval.value, interval.low, interval.high
        return cls(*ends, metric, n, direction, extractor, fingerprint, excluded)

    def as_dict(self) -> dict[str, Plain]:
        """The record of this score."""
        return {
            "metric": self.metric,
            **super().as_dict(),
            "n": self.n,
            "excluded": self.excluded,
            "direction": self.direction.value,
            "extractor": self.extractor,
            "extractor_sha256": self.fingerprint,
        }


class FeatureExtractor(Protocol):
    """A judge: pictures in, one feature vector each out. It resizes and normalises by itself."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def dim(self) -> int: ...
    def __call__(self, pixels: Pixels) -> Float[Tensor, "b d"]: ...


class NetworkExtractor(ABC):
    """A `FeatureExtractor` around a network: eval mode, no gradients, batches of 32, features on the CPU.

    `network` may be moved to a device; pictures follow it. A subclass writes `embed`.
    """

    def __init__(self, network: nn.Module, name: str, dim: int) -> None:
        self.network = network.eval().requires_grad_(False)
        self.name = name
        self.dim = dim
        self.fingerprint = digest(network.state_dict().values())

    @abstractmethod
    def embed(self, pixels: Pixels) -> Float[Tensor, "b d"]:
        """Features of pictures in [-1, 1] of any size that are on the network's device."""

    @torch.no_grad()
    def __call__(self, pixels: Pixels) -> Float[Tensor, "b d"]:
        device = next(self.network.parameters()).device
        return torch.cat([self.embed(part.to(device).float()).cpu() for part in torch.split(pixels, BATCH)])


def digest(tensors: Iterable[Tensor]) -> str:
    """SHA-256 over tensors (types, shapes, bytes) whatever their order, file and names.

    Names are left out because libraries rename the weights of one and the same network.
    """
    return hashlib.sha256("".join(sorted(map(_digest, tensors))).encode()).hexdigest()


def joint_fingerprint(*fingerprints: str) -> str:
    """That of several networks which make a score together, in this order."""
    return hashlib.sha256(" ".join(fingerprints).encode()).hexdigest()


def _digest(tensor: Tensor) -> str:
    data = tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
    return hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)};".encode() + data).hexdigest()


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
