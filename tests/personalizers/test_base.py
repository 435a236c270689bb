"""The attack's loop, with a model of one weight and the arithmetic written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from apdm.backbones.base import Backbone, Condition, EncodedImages, Moments, Sampling
from apdm.errors import InputError
from apdm.personalizers.base import Material, class_images, course, personalize
from apdm.seeding import derive

NOTHING = Material(EncodedImages(Moments(torch.zeros(1), torch.zeros(1)), Condition({})), None)


def weight_of(model: Backbone) -> nn.Parameter:
    """The one weight of a `OneWeight` or its copy."""
    return next(model.network.parameters())


def test_the_steps_are_adamw(one_weight, quadratic_attack, adamw_by_hand) -> None:
    expected = adamw_by_hand(5.0, lambda w: 2 * (w - 1), 0.3, 3)[-1]
    attacked = personalize(one_weight(), quadratic_attack, NOTHING, 0)
    assert weight_of(attacked).item() == pytest.approx(expected, rel=1e-9)


def test_gradients_are_clipped(one_weight, quadratic_attack, adamw_by_hand) -> None:
    """The first two gradients, 8 and 2 (w - 1) > 5, become 5; the third is small enough by itself."""
    quadratic_attack.max_grad_norm, quadratic_attack.learning_rate = 5.0, 1.0
    expected = adamw_by_hand(5.0, lambda w: min(2 * (w - 1), 5.0), 1.0, 3)
    assert 2 * (expected[0] - 1) > 5 > 2 * (expected[1] - 1)
    attacked = personalize(one_weight(), quadratic_attack, NOTHING, 0)
    assert weight_of(attacked).item() == pytest.approx(expected[-1], rel=1e-6)


def test_the_input_stays_as_it_is(one_weight, quadratic_attack) -> None:
    model = one_weight()
    attacked = personalize(model, quadratic_attack, NOTHING, 0)
    assert weight_of(model).item() == 5.0
    assert not weight_of(model).requires_grad
    assert weight_of(model).grad is None
    assert weight_of(attacked).item() != 5.0


def test_the_result_is_at_rest(one_weight, quadratic_attack) -> None:
    attacked = personalize(one_weight(), quadratic_attack, NOTHING, 0)
    assert not weight_of(attacked).requires_grad
    assert weight_of(attacked).grad is None


def test_every_step_draws_from_a_stream_of_its_own(one_weight, quadratic_attack) -> None:
    personalize(one_weight(), quadratic_attack, NOTHING, 7)
    assert quadratic_attack.seeds == [derive(7, "personalize", step) for step in range(3)]


def test_the_watch_hears_every_step(one_weight, quadratic_attack, heard) -> None:
    personalize(one_weight(), quadratic_attack, NOTHING, 0, heard)
    assert heard.steps == [("personalize", step, 3) for step in (0, 1, 2, 3)]
    assert heard.figures[:2] == [{}, {"loss": 16.0}]


def test_class_images_are_the_models_own_each_from_its_seed(one_weight) -> None:
    def images(count: int) -> Tensor:
        return class_images(model, "a photo of dog", count, 7, Sampling())[:, 0, 0, 0]

    model = one_weight()
    assert images(3).tolist() == [derive(7, "class image", number) % 1000 for number in range(3)]
    assert model.prompts == ["a photo of dog"] * 3
    assert torch.equal(images(2), images(3)[:2])


def test_an_attack_that_diverges_stops_with_one_line(one_weight, quadratic_attack) -> None:
    quadratic_attack.learning_rate = 1e300
    with pytest.raises(InputError, match="the attack diverged at step 2"):
        personalize(one_weight(), quadratic_attack, NOTHING, 0)


def test_a_course_shows_what_shorter_attacks_make(one_weight, quadratic_attack) -> None:
    on_the_way = [
        weight_of(model).item() for model in course(one_weight(), quadratic_attack, NOTHING, 7, [1, 3])
    ]
    made = []
    for quadratic_attack.max_train_steps in (1, 3):
        made.append(weight_of(personalize(one_weight(), quadratic_attack, NOTHING, 7)).item())
    assert on_the_way == made
    assert made[0] != made[1]
