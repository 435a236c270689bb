from __future__ import annotations

import pytest

from apdm.cloaks.target import pattern


@pytest.mark.parametrize("side", [16, 64, 100])
def test_the_pattern_is_a_chessboard_of_both_extremes(side: int) -> None:
    board = pattern(side, side)
    assert board.shape == (1, 3, side, side)
    assert sorted(board.unique().tolist()) == [-1, 1]
    assert board.mean().abs() < 0.05
    assert (board[..., 0].diff() != 0).sum() == 3 * 15  # sixteen squares on the left edge
