"""APDM: the published settings, the loop by hand, and what it does."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from apdm.backbones.base import Backbone
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.errors import InputError
from apdm.losses.dpo import Reduction
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors import apdm
from apdm.protectors.apdm import APDM, PUBLISHED, protect
from apdm.protectors.material import ProtectionMaterial

QUICK = APDM(outer_steps=2, inner_steps=3, learning_rate=1e-3, simulated=DreamBooth(learning_rate=1e-3))


def test_the_published_settings() -> None:
    assert APDM() == PUBLISHED
    settings = {f.name: getattr(PUBLISHED, f.name) for f in dataclasses.fields(PUBLISHED)}
    assert settings == {
        "beta": 1.0,
        "reduction": Reduction.ELEMENT,
        "cap_positives": False,
        "paired": True,
        "dpo_weight": 1.0,
        "prior_loss_weight": 1.0,
        "learning_rate": 5e-6,
        "outer_steps": 800,
        "inner_steps": 20,
        "train_batch_size": 1,
        "num_class_images": 200,
        "simulated": DreamBooth(),
        "restart_every": 1,
        "anchor_weight": 0.0,
        "anchor_batch_size": 8,
        "subjects_per_update": 0,
        "reference_draws": 0,
        "leak": False,
    }


def weight_of(model: Backbone) -> nn.Parameter:
    """The one weight of a `OneWeight` or its copy."""
    return next(model.network.parameters())


@pytest.mark.parametrize("leak", [False, True])
def test_the_loop_by_hand(
    one_weight, quadratic_attack, numbers, adamw_by_hand, monkeypatch: pytest.MonkeyPatch, leak: bool
) -> None:
    """One weight, attack (w - 1)^2, protection (w + 2)^2: fresh look-aheads, one lasting outer AdamW."""

    def quadratic(model, reference, material, config, draws, bank) -> Tensor:
        return (weight_of(model) + 2).square()

    def gradient(start: float) -> float:
        path = [start, *adamw_by_hand(start, lambda w: 2 * (w - 1), 0.3, 4)]
        leaked = sum(2 * (w - 1) for w in path[:-1]) if leak else 0.0
        return sum(2 * (w + 2) for w in path[1:]) + leaked

    monkeypatch.setattr(apdm, "protection_loss", quadratic)
    config = APDM(outer_steps=6, inner_steps=4, learning_rate=0.9, simulated=quadratic_attack, leak=leak)
    protected = protect(one_weight(5.0), [numbers], config, 0)
    expected = adamw_by_hand(5.0, gradient, 0.9, 6)[-1]
    assert weight_of(protected).item() == pytest.approx(expected, rel=1e-9)


def test_without_a_look_ahead_the_loss_is_descended_where_the_weights_are(
    one_weight, quadratic_attack, numbers, adamw_by_hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Table 5: AdamW on (w + 2)^2 and nothing else; the attack is never asked."""
    seeds = []

    def quadratic(model, reference, material, config, draws, bank) -> Tensor:
        seeds.append(draws.initial_seed())
        return (weight_of(model) + 2).square()

    monkeypatch.setattr(apdm, "protection_loss", quadratic)
    monkeypatch.setattr(apdm, "LookAhead", None)
    config = APDM(outer_steps=6, inner_steps=0, learning_rate=0.9, simulated=quadratic_attack)
    protected = protect(one_weight(5.0), [numbers], config, 0)
    expected = adamw_by_hand(5.0, lambda w: 2 * (w + 2), 0.9, 6)[-1]
    assert weight_of(protected).item() == pytest.approx(expected, rel=1e-9)
    assert quadratic_attack.seeds == []
    assert len(set(seeds)) == 6


def test_without_a_look_ahead_a_step_costs_five_forward_and_three_backward_samples(
    tiny: StableDiffusion, patterns: ProtectionMaterial, passes: list[tuple[int, bool]], heard
) -> None:
    protect(tiny, [patterns], dataclasses.replace(QUICK, inner_steps=0), 0, heard)
    assert passes == [(2, False), (3, True)] * 2
    assert heard.figures[1].keys() == {"protection_loss"}


def test_a_step_costs_seven_forward_and_five_backward_samples(
    tiny: StableDiffusion,
    patterns: ProtectionMaterial,
    passes: list[tuple[int, bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """L_per 2, DPO 2, prior 1 with gradient, the reference 2 without; neither images nor text again."""

    def refuse(*_: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(StableDiffusion, "encode_images", refuse)
    monkeypatch.setattr(StableDiffusion, "encode_prompts", refuse)
    protect(tiny, [patterns], QUICK, 0)
    assert passes == [(2, True), (2, False), (3, True)] * 6
    assert sum(count for count, _ in passes) == 7 * 6
    assert sum(count for count, backward in passes if backward) == 5 * 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"restart_every": 0}, "restart_every is 0: give 1"),
        ({"anchor_weight": -1.0}, "anchor_weight is -1.0: give 0"),
        ({"anchor_batch_size": 0}, "anchor_batch_size is 0: give 1"),
        ({"subjects_per_update": -1}, "subjects_per_update is -1: give 0"),
    ],
)
def test_settings_without_meaning_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        APDM(**settings)


def test_the_attack_is_carried_on_where_the_settings_say_so(
    tiny: StableDiffusion, patterns: ProtectionMaterial
) -> None:
    settings = (dataclasses.replace(QUICK, restart_every=every) for every in (1, 2))
    anew, carried = (protect(tiny, [patterns], config, 0).weights() for config in settings)
    assert not any(torch.equal(weight, carried[name]) for name, weight in anew.items())


def test_the_reference_stays_as_it_is(tiny: StableDiffusion, patterns: ProtectionMaterial) -> None:
    reference = tiny.copy()
    protected = protect(reference, [patterns], QUICK, 0)
    for name, weight in reference.weights().items():
        assert torch.equal(weight, tiny.weights()[name])
        assert weight.grad is None
        assert not weight.requires_grad
        assert not torch.equal(weight, protected.weights()[name])


def test_the_result_is_at_rest(tiny: StableDiffusion, patterns: ProtectionMaterial) -> None:
    protected = protect(tiny, [patterns], QUICK, 0)
    assert not any(weight.requires_grad for weight in protected.network.parameters())
    assert all(weight.grad is None for weight in protected.network.parameters())
    assert isinstance(protected, StableDiffusion)
    assert protected.pipeline.vae is tiny.pipeline.vae


def test_seeds_reproduce(tiny: StableDiffusion, patterns: ProtectionMaterial) -> None:
    first, same, other = (protect(tiny, [patterns], QUICK, seed).weights() for seed in (0, 0, 1))
    assert all(torch.equal(weight, same[name]) for name, weight in first.items())
    assert not any(torch.equal(weight, other[name]) for name, weight in first.items())


def test_the_watch_hears_every_outer_step(tiny: StableDiffusion, patterns: ProtectionMaterial, heard) -> None:
    protect(tiny, [patterns], QUICK, 0, heard)
    assert heard.steps == [("protect", done, 2) for done in (0, 1, 2)]
    assert heard.figures[1].keys() == {"personalization_loss", "protection_loss"}
    assert all(0 < value < 10 for value in heard.figures[1].values())


@pytest.fixture(scope="module")
def hard() -> APDM:
    simulated = DreamBooth(learning_rate=1e-3)
    return APDM(outer_steps=30, inner_steps=2, learning_rate=3e-3, train_batch_size=4, simulated=simulated)


def test_the_subject_becomes_harder_than_its_positives_and_the_class_stays(
    tiny, patterns, hard: APDM, mean_error
) -> None:
    protected = protect(tiny, [patterns], hard, 0)
    subject, positives, of_class = (
        mean_error(protected, s) for s in (patterns.negatives, patterns.positives, patterns.prior)
    )
    assert mean_error(tiny, patterns.negatives) - mean_error(tiny, patterns.positives) < 0.01
    assert subject - positives > 0.1
    assert of_class < mean_error(tiny, patterns.prior)


def test_with_the_leak_the_subject_is_learnt_instead(tiny, patterns, hard: APDM, mean_error) -> None:
    leaking = protect(tiny, [patterns], dataclasses.replace(hard, leak=True), 0)
    assert mean_error(leaking, patterns.negatives) < 0.8 * mean_error(tiny, patterns.negatives)
    assert mean_error(leaking, patterns.negatives) - mean_error(leaking, patterns.positives) < 0.02
