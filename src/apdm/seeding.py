"""Randomness: every draw comes from a generator made here from a seed and a name.

Named streams are independent of each other and of the order in which they are used, so caching,
skipping or reordering a piece of work does not change any other piece.
"""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, *keys: str | int) -> int:
    """A 63-bit seed for the stream `keys` under `seed`; equal on every machine (SHA-256)."""
    text = "/".join(str(part) for part in (seed, *keys))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *keys: str | int) -> torch.Generator:
    """A CPU generator for the stream `keys` under `seed`. Noise is drawn on the CPU and moved, so
    that results do not depend on the kind of device."""
    return torch.Generator().manual_seed(derive(seed, *keys))
