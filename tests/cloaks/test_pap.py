"""PAP: the texts that fit a picture, how wide they lie, and which of them is climbed at."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from apdm.backbones.base import Condition
from apdm.cloaks import pap
from apdm.cloaks.base import CloakMaterial
from apdm.cloaks.objective import instance_error, sample, sample_error
from apdm.cloaks.pap import PAP, RESOLUTION, drawn, laplace_variance
from apdm.seeding import generator
from apdm.watch import silent


def objective_of(cloak: PAP, model, material: CloakMaterial):
    caught = []
    play = cloak.against(model, material, lambda pictures, it, seed: caught.append(it), 0, silent)
    play(material.pixels, 0)
    return caught[0]


def test_the_defaults_are_published() -> None:
    cloak = PAP()
    assert (cloak.budget.grey_levels, cloak.step_size.grey_levels) == pytest.approx((6.375, 0.5))
    assert (cloak.steps, cloak.rounds, cloak.text_steps, cloak.text_rate) == (120, 1, 20, 1000)
    assert not cloak.released_deviation


def test_the_variance_is_that_of_a_bowl_through_both_points() -> None:
    """l = x^2 / (2 h) falls from l(3) to l(0) by 9 / (2 h)."""
    h = 0.7
    assert_close(laplace_variance(torch.tensor([9.0]), torch.tensor([9 / (2 * h)])), torch.tensor([h]))


def test_the_variance_is_finite_where_the_text_does_not_move() -> None:
    found = laplace_variance(torch.tensor([0.0, 0.5, 0.5]), torch.tensor([0.0, 0.0, -0.1]))
    assert found.tolist() == pytest.approx([0, 0.25 / RESOLUTION, 2.5])


def test_a_drawn_text_lies_around_its_mean_as_wide_as_the_variance_says() -> None:
    mean = Condition({"text": torch.full((2, 50, 40), 3.0), "pooled": torch.full((2, 40), 3.0)})
    text = drawn(mean, torch.tensor([0.0, 4.0]), generator(0)).parts
    assert torch.equal(text["text"][0], mean.parts["text"][0])
    assert text["text"][1].mean().item() == pytest.approx(3, abs=0.15)
    assert text["text"][1].std().item() == pytest.approx(2, rel=0.05)  # the root, not the square
    assert text["pooled"][1].std().item() == pytest.approx(2, rel=0.3)


def test_the_text_descends_to_one_that_fits_better(tiny, material: CloakMaterial) -> None:
    at = sample(tiny, material.pixels, generator(2)).detach()
    prompt = tiny.encode_prompts([material.instance_prompt]).repeat(2)
    fitting, variance = PAP(text_steps=5, text_rate=50.0).texts(tiny, at, prompt)
    before, after = (sample_error(tiny, at, text).flatten(1).mean(1) for text in (prompt, fitting))
    assert (after < before).all()
    moved = (fitting.flat() - prompt.flat()).square().mean(1)
    assert_close(variance, moved / (2 * (before - after)), rtol=1e-3, atol=0)


def test_a_step_of_the_text_is_the_rate_times_the_slope_of_its_pictures_error(tiny, material) -> None:
    at = sample(tiny, material.pixels, generator(2)).detach()
    prompt = tiny.encode_prompts([material.instance_prompt]).repeat(2)
    fitting, _ = PAP(text_steps=1, text_rate=50.0).texts(tiny, at, prompt)
    slope = prompt.gradient(lambda text: sample_error(tiny, at, text).flatten(1).mean(1).sum())
    assert_close(fitting.flat(), prompt.flat() - 50 * slope.flat())


def test_the_released_deviation_is_h_squared(tiny, material: CloakMaterial) -> None:
    at = sample(tiny, material.pixels, generator(2)).detach()
    prompt = tiny.encode_prompts([material.instance_prompt]).repeat(2)
    (_, h), (_, variance) = (
        PAP(text_steps=2, text_rate=50.0, released_deviation=it).texts(tiny, at, prompt)
        for it in (False, True)
    )
    assert_close(variance.sqrt(), h**2)


def test_each_picture_has_a_text_of_its_own(tiny, material: CloakMaterial) -> None:
    """And it is the one that it would have alone, whatever lies beside it."""
    at = sample(tiny, material.pixels, generator(2)).detach()
    prompt = tiny.encode_prompts([material.instance_prompt])
    both, _ = PAP(text_steps=3, text_rate=50.0).texts(tiny, at, prompt.repeat(2))
    first = type(at)(*(part[:1] for part in at))
    alone, _ = PAP(text_steps=3, text_rate=50.0).texts(tiny, first, prompt)
    assert_close(both.flat()[:1], alone.flat(), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(both.flat()[0], both.flat()[1])


def test_the_picture_climbs_at_the_text_that_was_drawn(
    tiny, material: CloakMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tiny.encode_prompts(["cat cat cat"]).repeat(2)
    given: list[tuple[Condition, Tensor]] = []

    def spy(mean, variance, draws):
        given.append((mean, variance))
        return elsewhere

    monkeypatch.setattr(pap, "drawn", spy)
    cloak = PAP(text_steps=3, text_rate=50.0)
    leaf = material.pixels.clone().requires_grad_()
    height = objective_of(cloak, tiny, material)(leaf, generator(2))
    at = sample(tiny, leaf, generator(2))
    assert_close(height, sample_error(tiny, at, elsewhere).mean())
    fitting, variance = cloak.texts(
        tiny, at.detach(), tiny.encode_prompts([material.instance_prompt]).repeat(2)
    )
    assert_close(given[0][0].flat(), fitting.flat())
    assert_close(given[0][1], variance)
    (slope,) = torch.autograd.grad(height, leaf)
    assert (slope.abs().sum((1, 2, 3)) > 0).all()


def test_without_text_steps_it_is_plain_ascent(tiny, material: CloakMaterial) -> None:
    found = objective_of(PAP(text_steps=0), tiny, material)(material.pixels, generator(2))
    assert_close(found, instance_error(tiny, material.instance_prompt)(material.pixels, generator(2)))
