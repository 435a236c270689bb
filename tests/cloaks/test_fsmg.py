"""FSMG: one surrogate, taught from the clean photos, that does not change."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from apdm.backbones.tiny import tiny_stable_diffusion
from apdm.cloaks import anti_dreambooth
from apdm.cloaks.base import CloakMaterial
from apdm.cloaks.budget import Budget
from apdm.cloaks.fsmg import FSMG
from apdm.cloaks.objective import instance_error, targeted_objective
from apdm.personalizers.base import Material, personalize
from apdm.personalizers.dreambooth import DreamBooth
from apdm.seeding import derive, generator

LESSON = DreamBooth(learning_rate=1e-3, max_train_steps=2)


def first_weight(model) -> Tensor:
    return next(model.network.parameters()).detach().clone()


@pytest.fixture
def climbed(monkeypatch: pytest.MonkeyPatch) -> list:
    """The models that are climbed at."""
    models = []

    def spy(model, prompt):
        objective = instance_error(model, prompt)
        return lambda pictures, draws: (models.append(model), objective(pictures, draws))[1]

    monkeypatch.setattr(anti_dreambooth, "instance_error", spy)
    return models


def test_the_defaults_are_published() -> None:
    cloak = FSMG()
    assert (cloak.budget.grey_levels, cloak.step_size.grey_levels) == pytest.approx((6.375, 0.6375))
    assert (cloak.steps, cloak.rounds, cloak.targeted) == (100, 1, False)
    lesson = cloak.surrogate
    assert isinstance(lesson, DreamBooth)
    assert (lesson.learning_rate, lesson.max_train_steps, lesson.train_batch_size) == (5e-7, 1000, 2)


def test_the_surrogate_is_what_an_attacker_makes_of_the_clean_photos(
    tiny, material: CloakMaterial, climbed: list
) -> None:
    FSMG(steps=2, rounds=2, surrogate=LESSON)(tiny, material, 3)
    seed = derive(3, "model", 0)
    prior = tiny.encode(material.prior, material.class_prompt)
    lesson = Material(tiny.encode(material.clean, material.instance_prompt), prior)
    expected = personalize(tiny, LESSON, lesson, seed)
    assert len(climbed) == 4
    assert len({id(model) for model in climbed}) == 1
    assert torch.equal(first_weight(climbed[0]), first_weight(expected))
    assert not torch.equal(first_weight(climbed[0]), first_weight(tiny))


def test_without_class_pictures_it_does_without(tiny, material: CloakMaterial, climbed: list) -> None:
    with_prior, without = (
        FSMG(steps=1, surrogate=LESSON)(tiny, m, 0) for m in (material, replace(material, prior=None))
    )
    assert with_prior.shape == without.shape
    assert not torch.equal(first_weight(climbed[0]), first_weight(climbed[1]))


def test_each_model_of_an_ensemble_has_its_surrogate(tiny, material: CloakMaterial, climbed: list) -> None:
    other = tiny_stable_diffusion(seed=1)
    FSMG(steps=1, rounds=2, surrogate=LESSON)([tiny, other], material, 0)
    assert [id(model) for model in climbed[:2]] == [id(model) for model in climbed[2:]]
    distances = [float((first_weight(climbed[0]) - first_weight(m)).abs().max()) for m in (tiny, other)]
    assert distances[0] < 0.1 < distances[1]


def test_the_targeted_variant_leads_nearer_to_the_target(tiny, material: CloakMaterial) -> None:
    """Over many draws one step back lands nearer to the target's own latents than from what the
    untargeted variant makes. (l, which is climbed too, is the larger term, and leads away from it.)"""
    wide = {"budget": Budget(1.0, (-1, 1)), "step_size": Budget(0.1, (-1, 1)), "steps": 20}
    targeted, untargeted = (
        FSMG(surrogate=LESSON, targeted=it, **wide)(tiny, material, 0) for it in (True, False)
    )
    prompt = material.instance_prompt

    def way(pictures: Tensor) -> float:
        many = pictures.repeat(200, 1, 1, 1)
        with torch.no_grad():
            plain = instance_error(tiny, prompt)(many, generator(0))
            return (
                plain - targeted_objective(tiny, prompt, material.target_picture)(many, generator(0))
            ).item()

    assert way(targeted) < 0.98 * way(untargeted)
