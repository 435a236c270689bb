"""Mist: latents go to the target's, and the error is weighed as published."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from apdm.cloaks.base import CloakMaterial
from apdm.cloaks.budget import Budget
from apdm.cloaks.mist import Mist, Mode
from apdm.cloaks.objective import sample, sample_error
from apdm.cloaks.pgd import Ball
from apdm.cloaks.target import pattern
from apdm.errors import InputError
from apdm.seeding import derive, generator
from apdm.watch import silent

WIDE = {"budget": Budget(1.0, (-1, 1)), "step_size": Budget(0.1, (-1, 1)), "steps": 30}


def objective_of(cloak: Mist, model, material: CloakMaterial):
    """What the cloak climbs, caught where it would climb."""
    caught = []
    play = cloak.against(model, material, lambda pictures, it, seed: caught.append(it), 0, silent)
    play(material.pixels, 0)
    return caught[0]


def distance(model, pictures: Tensor, target: Tensor) -> Tensor:
    """Of the latents' means, a sum for each picture."""
    return (model.encode_images(pictures).mean - model.encode_images(target).mean).square().sum((1, 2, 3))


def test_the_defaults_are_published() -> None:
    cloak = Mist()
    assert (cloak.budget.grey_levels, cloak.step_size.grey_levels) == pytest.approx((16, 1))
    assert (cloak.steps, cloak.rounds, cloak.mode, cloak.rate) == (100, 1, Mode.FUSED, 10**4)
    ball = Ball(torch.zeros(1, 3, 8, 8), 0.1)
    assert torch.equal(cloak.start(ball, generator(0)), ball.anywhere(generator(0)))


@pytest.mark.parametrize("mode", Mode)
def test_the_objective_of_a_batch_is_the_sum_of_its_pictures(
    mode: Mode, tiny, material: CloakMaterial
) -> None:
    """A picture's own balance between the two terms does not depend on how many lie beside it."""
    found = objective_of(Mist(mode=mode, rate=50.0), tiny, material)(material.pixels, generator(3))
    expected = -distance(tiny, material.pixels, pattern(16, 16)).sum()
    if mode is Mode.FUSED:
        at = sample(tiny, material.pixels, generator(3))
        errors = sample_error(tiny, at, tiny.encode_prompts([material.instance_prompt]))
        expected = expected + 50 * (errors[0].mean() + errors[1].mean())
    assert_close(found, expected)


def test_the_latents_come_nearer_to_the_target_that_is_given(tiny, material: CloakMaterial, pictures) -> None:
    target = pictures(1, 9)
    cloak = Mist(mode=Mode.TEXTURAL, **WIDE)
    cloaked = cloak(tiny, replace(material, target=target), 0)
    before, after = (distance(tiny, p, target) for p in (material.pixels, cloaked))
    assert (after < 0.5 * before).all()
    elsewhere = cloak(tiny, material, 0)
    assert (distance(tiny, elsewhere, target) > after).all()


def test_the_target_is_encoded_once(tiny, material: CloakMaterial, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded, encode = [], tiny.encode_images
    monkeypatch.setattr(
        tiny, "encode_images", lambda pixels: (encoded.append(len(pixels)), encode(pixels))[1]
    )
    Mist(mode=Mode.TEXTURAL, steps=3)(tiny, material, 0)
    assert encoded == [1, 2, 2, 2]


def test_rounds_and_steps_have_streams_of_their_own(tiny, material: CloakMaterial) -> None:
    seeds = []
    play = Mist().against(tiny, material, lambda pictures, it, seed: seeds.append(seed), 4, silent)
    play(material.pixels, 0)
    play(material.pixels, 1)
    assert seeds == [derive(4, "round", 0), derive(4, "round", 1)]


def test_a_negative_rate_is_refused() -> None:
    with pytest.raises(InputError, match="rate is -1"):
        Mist(rate=-1.0)
