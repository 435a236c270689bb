"""What every backbone shares: conditions, moments, sets of encoded images."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from apdm.backbones.base import Condition, EncodedImages, Moments, batches, draw_noise
from apdm.backbones.tiny import tiny_stable_diffusion
from apdm.errors import InputError
from apdm.seeding import generator


def condition(*numbers: float) -> Condition:
    """Two parts of different rank, a row a number."""
    rows = torch.tensor(numbers)
    return Condition({"text": rows.view(-1, 1, 1).expand(-1, 2, 3), "pooled": rows.view(-1, 1)})


def rows_of(c: Condition) -> list[float]:
    assert c.parts["text"].shape == (len(c), 2, 3)
    assert torch.equal(c.parts["text"][:, 0, :1], c.parts["pooled"])
    return c.parts["pooled"].flatten().tolist()


def encoded(count: int) -> EncodedImages:
    return EncodedImages(Moments(torch.zeros(count, 1, 1, 1), torch.zeros(count, 1, 1, 1)), condition(0))


def test_a_condition_is_as_long_as_its_parts() -> None:
    assert len(condition(1, 2, 3)) == 3


def test_conditions_are_picked_repeated_and_joined_part_by_part() -> None:
    pair = condition(1, 2)
    assert rows_of(pair[torch.tensor([1, 1, 0])]) == [2, 2, 1]
    assert rows_of(pair[:1]) == [1]
    assert rows_of(pair.repeat(2)) == [1, 2, 1, 2]
    assert rows_of(Condition.cat([pair, condition(5)])) == [1, 2, 5]


def test_a_condition_is_changed_part_by_part_beside_others() -> None:
    summed = condition(1, 2).map(
        lambda part, other, third: part + other * third, condition(3, 4), condition(5, 6)
    )
    assert rows_of(summed) == [1 + 3 * 5, 2 + 4 * 6]
    assert condition(1, 2).flat().tolist() == [[1] * 7, [2] * 7]


def test_a_condition_has_a_gradient_and_stays_as_it_is() -> None:
    here = condition(1.0, 2.0)
    slope = here.gradient(lambda c: c.flat().square().sum())  # 2 c
    assert rows_of(slope) == [2, 4]
    assert rows_of(here) == [1, 2]
    assert not any(part.requires_grad for c in (here, slope) for part in c.parts.values())


def test_a_detached_condition_carries_no_gradient() -> None:
    leaf = torch.ones(1, 1, requires_grad=True)
    assert not Condition({"pooled": 2 * leaf}).detach().parts["pooled"].requires_grad


def test_a_draw_is_mean_plus_deviation_times_noise() -> None:
    moments = Moments(torch.tensor([1.0, 2, 3]).view(3, 1, 1, 1), torch.tensor([0.1, 0, 10]).view(3, 1, 1, 1))
    drawn = moments.sample(torch.tensor([2, 0, 1]), generator(0))
    noise = torch.randn(3, 1, 1, 1, generator=generator(0)).flatten().tolist()
    assert drawn.flatten().tolist() == pytest.approx([3 + 10 * noise[0], 1 + 0.1 * noise[1], 2])


def test_no_image_is_chosen_twice_before_all_have_been() -> None:
    chosen = encoded(5).choose(12, generator(0)).tolist()
    assert len(chosen) == 12
    assert sorted(chosen[:5]) == sorted(chosen[5:10]) == [0, 1, 2, 3, 4]
    assert len(set(chosen[10:])) == 2


def test_the_order_is_random_and_its_generators_own() -> None:
    images = encoded(5)
    orders = [tuple(images.choose(5, generator(seed)).tolist()) for seed in range(20)]
    assert len(set(orders)) > 10
    assert {order[0] for order in orders} == {0, 1, 2, 3, 4}
    assert tuple(images.choose(5, generator(3)).tolist()) == orders[3]


def test_noise_is_standard_normal_in_the_tensors_kind() -> None:
    noise = draw_noise(torch.zeros(1000, 4, 2, 2, dtype=torch.float64), generator(0))
    assert noise.dtype == torch.float64
    assert noise.shape == (1000, 4, 2, 2)
    assert noise.mean().abs() < 0.03
    assert abs(noise.std() - 1) < 0.03


def test_batches_cover_everything_once() -> None:
    assert list(batches(7, 3)) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert list(batches(0, 3)) == []


def test_encoding_binds_images_and_prompt_without_gradient() -> None:
    model = tiny_stable_diffusion()
    model.pipeline.text_encoder.requires_grad_(True)
    pixels = torch.rand(3, 3, 16, 16, generator=generator(0)) * 2 - 1
    images = model.encode(pixels, "a photo of dog")
    assert len(images) == 3
    assert_close(images.moments.mean, model.encode_images(pixels).mean)
    assert torch.equal(images.condition.parts["text"], model.encode_prompts(["a photo of dog"]).parts["text"])
    assert not images.condition.parts["text"].requires_grad


def test_a_family_without_residual_blocks_refuses_to_show_them(one_weight) -> None:
    model = one_weight()
    model.name = "other"
    with pytest.raises(InputError, match="'other' has no residual up blocks"):
        model.features()


def test_weights_are_taken_over_in_place() -> None:
    mine, other = tiny_stable_diffusion(seed=0), tiny_stable_diffusion(seed=1)
    places = [weight.data_ptr() for weight in mine.network.parameters()]
    mine.load_weights_from(other)
    assert all(torch.equal(weight, other.weights()[name]) for name, weight in mine.weights().items())
    assert [weight.data_ptr() for weight in mine.network.parameters()] == places
    assert places[0] != next(other.network.parameters()).data_ptr()
