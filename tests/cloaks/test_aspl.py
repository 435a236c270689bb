"""ASPL: what it climbs, and at which model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from apdm.cloaks import anti_dreambooth
from apdm.cloaks.aspl import ASPL
from apdm.cloaks.base import CloakMaterial
from apdm.cloaks.objective import instance_error
from apdm.personalizers.dreambooth import DreamBooth

LESSON = DreamBooth(learning_rate=1e-3, max_train_steps=2)


def test_the_defaults_are_published() -> None:
    cloak = ASPL()
    assert (cloak.budget.grey_levels, cloak.step_size.grey_levels) == pytest.approx((6.375, 0.6375))
    assert (cloak.steps, cloak.rounds, cloak.targeted) == (6, 50, False)
    lesson = cloak.surrogate
    assert isinstance(lesson, DreamBooth)
    assert (lesson.learning_rate, lesson.max_train_steps, lesson.train_batch_size) == (5e-7, 3, 1)


def test_it_climbs_at_surrogates_that_go_on_learning(
    tiny, material: CloakMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    climbed: list[Tensor] = []

    def spy(model, prompt):
        climbed.append(next(model.network.parameters()).detach().clone())
        return instance_error(model, prompt)

    monkeypatch.setattr(anti_dreambooth, "instance_error", spy)
    ASPL(steps=1, rounds=4, surrogate=LESSON)(tiny, material, 0)
    before = next(tiny.network.parameters())
    way = [float((weight - before).abs().mean()) for weight in climbed]
    assert len(way) == 4
    assert way[0] > 0
    assert way[3] > 1.5 * way[0]


def test_the_targeted_variant_is_told_its_target(tiny, material: CloakMaterial, monkeypatch) -> None:
    told = []

    def spy(model, prompt, target):
        told.append((prompt, target))
        return instance_error(model, prompt)

    monkeypatch.setattr(anti_dreambooth, "targeted_objective", spy)
    ASPL(steps=1, rounds=2, surrogate=LESSON, targeted=True)(tiny, material, 0)
    assert [prompt for prompt, _ in told] == [material.instance_prompt] * 2
    assert torch.equal(told[0][1], material.target_picture)
