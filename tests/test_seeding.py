"""Named streams of randomness."""

from __future__ import annotations

import torch

from apdm.seeding import derive, generator


def test_seeds_are_the_same_on_every_machine() -> None:
    assert derive(0, "protect", 3) == 3457302055595535944
    assert derive(-1, "attack") == 5284532870828148228


def test_every_part_of_a_name_counts() -> None:
    names = [(0,), (1,), (0, "a"), (1, "a"), (0, "b"), (0, "a", 0), (0, "a", 1), (0, "a", "b"), (0, "b", "a")]
    assert len({derive(*name) for name in names}) == 9


def test_seeds_fit_into_63_bits() -> None:
    seeds = [derive(0, number) for number in range(200)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**61


def test_a_stream_does_not_depend_on_what_else_is_drawn() -> None:
    expected = torch.randn(4, generator=generator(7, "noise"))
    torch.manual_seed(0)
    other, stream = generator(7, "times"), generator(7, "noise")
    assert not torch.equal(torch.randn(4, generator=other), expected)
    assert torch.equal(torch.randn(4, generator=stream), expected)


def test_making_a_stream_leaves_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    torch.randn(4, generator=generator(7, "noise"))
    assert torch.equal(torch.get_rng_state(), before)
