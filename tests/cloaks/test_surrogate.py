"""Surrogates learn, forget what they should, and see every picture."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from apdm.backbones.base import Backbone, EncodedImages
from apdm.backbones.execution import Execution
from apdm.cloaks.base import CloakMaterial
from apdm.cloaks.surrogate import Surrogate, alternating
from apdm.errors import InputError
from apdm.personalizers.base import Material, personalize
from apdm.personalizers.dreambooth import DreamBooth
from apdm.seeding import derive

LESSON = DreamBooth(learning_rate=1e-3, max_train_steps=3)


def weights(model: Backbone) -> list[Tensor]:
    return [weight.detach().clone() for weight in model.network.parameters()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def lesson(tiny, material: CloakMaterial) -> Material:
    return Material(tiny.encode(material.clean, material.instance_prompt), None)


def test_a_lesson_is_an_attack_of_a_few_steps(one_weight, quadratic_attack, adamw_by_hand) -> None:
    surrogate = Surrogate(one_weight(), quadratic_attack)
    surrogate.learn(None, 7)
    path = adamw_by_hand(5.0, lambda w: 2 * (w - 1), 0.3, 3)
    assert surrogate.model.weight.item() == pytest.approx(path[-1], rel=1e-9)
    assert quadratic_attack.seeds == [derive(7, "surrogate", step) for step in range(3)]
    surrogate.learn(None, 8)  # with a fresh optimizer
    again = adamw_by_hand(path[-1], lambda w: 2 * (w - 1), 0.3, 3)
    assert surrogate.model.weight.item() == pytest.approx(again[-1], rel=1e-9)


def test_a_lesson_remembers_in_8_bits_where_that_is_asked_for(tiny, material, eight_bit) -> None:
    """As a whole attack does, FSMG's surrogate: every AdamW of a run."""
    ends = []
    for execution in (Execution(), Execution(use_8bit_adam=True)):
        model = tiny.copy()
        model.run_as(execution)
        surrogate = Surrogate(model, LESSON)
        surrogate.learn(lesson(tiny, material), 0)
        ends.append(weights(surrogate.model))
    assert not same(*ends)


def test_gradients_are_clipped(one_weight, quadratic_attack, adamw_by_hand) -> None:
    quadratic_attack.max_grad_norm, quadratic_attack.learning_rate = 5.0, 1.0
    surrogate = Surrogate(one_weight(), quadratic_attack)
    surrogate.learn(None, 0)
    expected = adamw_by_hand(5.0, lambda w: min(2 * (w - 1), 5.0), 1.0, 3)
    assert surrogate.model.weight.item() == pytest.approx(expected[-1], rel=1e-6)


def test_what_is_learnt_for_a_while_is_forgotten(one_weight, quadratic_attack) -> None:
    surrogate = Surrogate(one_weight(), quadratic_attack)
    with surrogate.for_a_while():
        surrogate.learn(None, 0)
        assert surrogate.model.weight.item() < 5
    assert surrogate.model.weight.item() == 5
    assert surrogate.model.weight.requires_grad  # still attached


def test_a_lesson_that_diverges_stops_with_one_line(one_weight, quadratic_attack) -> None:
    quadratic_attack.learning_rate = 1e300
    with pytest.raises(InputError, match="the surrogate diverged at step 2"):
        Surrogate(one_weight(), quadratic_attack).learn(None, 0)


def test_a_round_climbs_after_the_clean_lesson_and_keeps_only_the_cloaked_one(
    tiny, material: CloakMaterial
) -> None:
    """f' = f + clean photos, then f <- f + the pictures as climbed, over two rounds."""
    climbed: list[list[Tensor]] = []

    def climb(pictures: Tensor, objective: Backbone, seed: int) -> Tensor:
        climbed.append(weights(objective))
        return pictures * 0.5

    play = alternating(tiny, LESSON, lambda model: model, material, climb, 4)  # pyright: ignore[reportArgumentType]
    prior = tiny.encode(material.prior, material.class_prompt)
    clean = Material(tiny.encode(material.clean, material.instance_prompt), prior)
    f, pictures = Surrogate(tiny, LESSON), material.pixels
    for number in range(2):
        pictures = play(pictures, number)
        expected = Surrogate(f.model, LESSON)
        expected.learn(clean, derive(4, "clean", number))
        assert_close(climbed[number], weights(expected.model), rtol=0, atol=0)
        cloaked = Material(tiny.encode(pictures, material.instance_prompt), prior)
        f.learn(cloaked, derive(4, "cloaked", number))
    assert not same(climbed[0], climbed[1])
    assert torch.equal(pictures, material.pixels * 0.25)


def test_the_surrogates_weights_really_move_at_the_published_rate(tiny, material: CloakMaterial) -> None:
    """In bfloat16 a step of 5e-7 is lost on every weight above about 3e-4."""
    surrogate = Surrogate(tiny, DreamBooth(learning_rate=5e-7, max_train_steps=3))
    surrogate.learn(lesson(tiny, material), 0)
    pairs = zip(weights(tiny), weights(surrogate.model), strict=True)
    moved = [(before != after).float().mean().item() for before, after in pairs]
    assert sum(moved) / len(moved) > 0.8


def test_every_picture_is_learnt_from(
    tiny, material: CloakMaterial, pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lessons of fewer steps than there are pictures visit all of them, over the rounds."""
    chosen: dict[int, set[int]] = {}
    choose = EncodedImages.choose

    def spy(self, count, generator):
        rows = choose(self, count, generator)
        chosen.setdefault(len(self), set()).update(rows.tolist())
        return rows

    monkeypatch.setattr(EncodedImages, "choose", spy)
    many = replace(material, pixels=pictures(4, 1), clean=pictures(5, 2), prior=pictures(6, 3))
    short = DreamBooth(learning_rate=1e-6, max_train_steps=1)
    play = alternating(tiny, short, lambda model: model, many, lambda p, objective, seed: p, 0)  # pyright: ignore
    for number in range(40):
        play(many.pixels, number)
    assert chosen == {count: set(range(count)) for count in (4, 5, 6)}


def test_any_personalizer_teaches_a_surrogate(tiny, material: CloakMaterial) -> None:
    """One that moves a single layer and knows nothing of DreamBooth."""

    class FirstLayer(DreamBooth):
        def attach(self, backbone, seed=0):
            attachment = super().attach(backbone)
            backbone.network.requires_grad_(False)
            backbone.network.conv_in.requires_grad_(True)
            return replace(attachment, trainable=list(backbone.network.conv_in.parameters()))

    surrogate = Surrogate(tiny, FirstLayer(learning_rate=1e-3, max_train_steps=2))
    surrogate.learn(lesson(tiny, material), 0)
    moved = {
        name.split(".")[0]
        for name, weight in surrogate.model.weights().items()
        if not torch.equal(weight, tiny.weights()[name])
    }
    assert moved == {"conv_in"}


def test_a_surrogate_is_a_copy(tiny, material: CloakMaterial) -> None:
    before = weights(tiny)
    surrogate = Surrogate(tiny, LESSON)
    surrogate.learn(lesson(tiny, material), 0)
    assert same(before, weights(tiny))
    assert not any(weight.requires_grad for weight in tiny.network.parameters())
    attacked = personalize(tiny, LESSON, lesson(tiny, material), 0)
    assert not same(weights(attacked), weights(surrogate.model))  # other streams
