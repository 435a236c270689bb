"""Where a targeted cloak leads: a picture that is nothing, in high contrast."""

from __future__ import annotations

import torch

from apdm.types import Pixels

SQUARES = 16  # a side; our choice: each is some latents wide at every usual resolution


def pattern(height: int, width: int) -> Pixels:
    """A black and white chessboard [1 3 h w], our stand-in for Mist's picture of repeated words."""
    row = (torch.arange(height) * SQUARES // height).view(-1, 1)
    column = (torch.arange(width) * SQUARES // width).view(1, -1)
    return ((row + column) % 2 * 2.0 - 1).expand(1, 3, height, width).contiguous()
