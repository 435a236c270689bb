"""Naive ascent: its loss by arithmetic, where it stops, and what it does."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from apdm.backbones.base import Condition, draw_noise
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.losses.denoising import denoising_error
from apdm.personalizers.base import Material
from apdm.protectors import ascent
from apdm.protectors.ascent import Ascent, ascend, ascent_loss, moved
from apdm.seeding import derive, generator

INSTANCE, CLASS = "a photo of sks dog", "a photo of dog"


@pytest.fixture(scope="module")
def material(pattern_set) -> Material:
    return Material(pattern_set(1, INSTANCE), pattern_set(2, CLASS))


def test_the_loss_is_lambda_times_the_class_minus_the_subject(
    tiny: StableDiffusion, material: Material
) -> None:
    config = Ascent(prior_loss_weight=15.0, train_batch_size=2)
    loss = ascent_loss(tiny, material, config, generator(0, "draws"))
    draws, sets = generator(0, "draws"), (material.instance, material.prior)
    clean = torch.cat([s.moments.sample(s.choose(2, draws), draws) for s in sets if s])
    condition = Condition.cat([s.condition.repeat(2) for s in sets if s])
    noise, t = draw_noise(clean, draws), tiny.schedule.sample_times(4, draws)
    errors = denoising_error(tiny, clean, condition, noise, t).flatten(1).mean(1)
    assert loss.item() == pytest.approx(
        (15 * (errors[2] + errors[3]) - (errors[0] + errors[1])).item() / 2, rel=1e-5
    )


def test_the_published_settings() -> None:
    assert dataclasses.asdict(Ascent()) == {
        "prior_loss_weight": 10.0,
        "learning_rate": 5e-6,
        "max_train_steps": 800,
        "train_batch_size": 1,
        "num_class_images": 200,
    }


def test_the_loop_by_hand(one_weight, adamw_by_hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """AdamW on (w + 2)^2, no step with another one's gradient or draws."""
    seeds = []

    def quadratic(model, material, config, draws: torch.Generator) -> Tensor:
        seeds.append(draws.initial_seed())
        return (model.weight + 2).square()

    monkeypatch.setattr(ascent, "ascent_loss", quadratic)
    ascended = ascend(one_weight(5.0), None, Ascent(learning_rate=0.9, max_train_steps=4), 7)
    expected = adamw_by_hand(5.0, lambda w: 2 * (w + 2), 0.9, 4)[-1]
    assert ascended.weight.item() == pytest.approx(expected, rel=1e-9)
    assert seeds == [derive(7, "ascent", step) for step in range(4)]


def test_it_raises_the_subjects_error_and_leaves_the_input(
    tiny: StableDiffusion, material: Material, mean_error
) -> None:
    ascended = ascend(
        tiny, material, Ascent(1.0, learning_rate=3e-3, max_train_steps=20, train_batch_size=4), 0
    )
    assert mean_error(ascended, material.instance) > 1.02 * mean_error(tiny, material.instance)
    assert not any(weight.requires_grad for weight in ascended.weights().values())


def test_a_larger_lambda_keeps_the_class_better(
    tiny: StableDiffusion, material: Material, mean_error
) -> None:
    kept = [
        mean_error(
            ascend(
                tiny, material, Ascent(weight, learning_rate=3e-3, max_train_steps=20, train_batch_size=4), 0
            ),
            material.prior,
        )
        for weight in (0.0, 10.0)
    ]
    assert kept[1] < kept[0]


def test_it_stops_at_the_distance(tiny: StableDiffusion, material: Material, heard) -> None:
    config = Ascent(learning_rate=1e-3, max_train_steps=50)
    one_step = moved(tiny, ascend(tiny, material, Ascent(learning_rate=1e-3, max_train_steps=1), 0))
    ascended = ascend(tiny, material, config, 0, distance=2.5 * one_step, watch=heard)
    assert moved(tiny, ascended) >= 2.5 * one_step
    assert 2 < heard.steps[-1][1] < 50


def test_no_distance_is_measured_where_none_is_given(one_weight, monkeypatch: pytest.MonkeyPatch) -> None:
    """It passes over all weights, after every step."""
    measured = []
    monkeypatch.setattr(ascent, "ascent_loss", lambda model, *_: (model.weight + 2).square())
    monkeypatch.setattr(ascent, "moved", lambda *models: measured.append(models) or 0.0)
    ascend(one_weight(5.0), None, Ascent(max_train_steps=2), 0)
    assert not measured
    ascend(one_weight(5.0), None, Ascent(max_train_steps=2), 0, distance=9.0)
    assert len(measured) == 2


def test_the_distance_is_euclidean_over_all_weights(tiny: StableDiffusion) -> None:
    other = tiny.copy()
    assert moved(tiny, other) == 0
    with torch.no_grad():
        first, last = next(iter(other.network.parameters())), list(other.network.parameters())[-1]
        first.view(-1)[0] += 3
        last.view(-1)[0] += 4
    assert moved(tiny, other) == pytest.approx(5)
