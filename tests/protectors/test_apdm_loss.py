"""The protection loss by arithmetic: what reaches which network, and what of it counts."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus
from torch.testing import assert_close

from apdm.backbones.base import Backbone
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.losses.denoising import denoising_error
from apdm.losses.dpo import Reduction
from apdm.protectors import apdm
from apdm.protectors.apdm import APDM, protection_loss
from apdm.protectors.material import ProtectionMaterial
from apdm.seeding import generator

INSTANCE, CLASS = "a photo of sks dog", "a photo of dog"


@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_the_terms_are_weighted(tiny: StableDiffusion, patterns: ProtectionMaterial, weight: float) -> None:
    """At the reference DPO is log 2, whatever it compares; the class's term stays."""
    without = protection_loss(tiny, tiny, patterns, APDM(dpo_weight=0.0), generator(0))
    loss = protection_loss(tiny, tiny, patterns, APDM(dpo_weight=weight), generator(0))
    assert without > 0.01
    assert_close(loss - without, torch.tensor(weight * 0.693147))


@dataclasses.dataclass(frozen=True)
class Call:
    model: Backbone
    clean: Tensor
    text: Tensor
    noise: Tensor
    t: Tensor
    errors: Tensor

    def part(self, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        return self.text[rows], self.noise[rows], self.t[rows]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Every denoising error that the protection loss asks for."""
    seen: list[Call] = []

    def spy(model, clean, condition, noise, t):
        errors = denoising_error(model, clean, condition, noise, t)
        seen.append(Call(model, clean, condition.parts["text"], noise, t, errors))
        return errors

    monkeypatch.setattr(apdm, "denoising_error", spy)
    return seen


def test_both_members_and_both_networks_get_the_same(
    tiny: StableDiffusion, numbers: ProtectionMaterial, calls: list[Call]
) -> None:
    model = tiny.copy()
    protection_loss(model, tiny, numbers, APDM(train_batch_size=2), generator(0))
    of_reference, of_model = calls
    assert (of_model.model, of_reference.model) == (model, tiny)
    assert (len(of_model.clean), len(of_reference.clean)) == (6, 4)

    positive, negative, prior = slice(2), slice(2, 4), slice(4, 6)
    for mine, other in zip(of_model.part(positive), of_model.part(negative), strict=True):
        assert torch.equal(mine, other)
    for mine, other in zip(of_model.part(slice(4)), of_reference.part(slice(4)), strict=True):
        assert torch.equal(mine, other)
    assert torch.equal(of_model.clean[:4], of_reference.clean)

    assert torch.equal(of_model.clean[positive], of_model.clean[negative] + 10)  # row i belongs to row i
    assert of_model.clean[negative].max() < 13
    assert of_model.clean[prior].min() >= 30
    instance, of_class = (tiny.encode_prompts([p]).parts["text"] for p in (INSTANCE, CLASS))
    assert torch.equal(of_model.text, torch.cat([instance.expand(4, -1, -1), of_class.expand(2, -1, -1)]))


def test_pairs_and_class_images_draw_independently(
    tiny: StableDiffusion, numbers: ProtectionMaterial, calls: list[Call]
) -> None:
    protection_loss(tiny.copy(), tiny, numbers, APDM(train_batch_size=3), generator(0))
    assert len({row.sum().item() for row in calls[1].noise}) == 6  # three pairs, three class images
    assert len(set(calls[1].t.tolist())) == 6
    assert len(set(calls[1].clean[:, 0, 0, 0].tolist())) == 9


def test_unpaired_positives_are_class_images_at_draws_of_their_own(
    tiny: StableDiffusion, numbers: ProtectionMaterial, calls: list[Call]
) -> None:
    """Table 4: nothing is shared but the prompt; photos and class term are those of the paired loss."""
    for paired in (True, False):
        config = APDM(train_batch_size=3, paired=paired)
        protection_loss(tiny.copy(), tiny, numbers, config, generator(0))
    _, with_pairs, reference, without = calls
    positive, rest = slice(3), slice(3, None)
    assert without.clean[positive].min() >= 30  # class images; the paired positives are 20 to 22
    for drawn in (without.noise, without.t, reference.noise, reference.t):
        assert not any(torch.equal(drawn[row], drawn[row + 3]) for row in range(3))
    assert without.noise[positive].std() == pytest.approx(1, abs=0.1)
    assert torch.equal(without.text, with_pairs.text)
    assert torch.equal(without.clean[rest], with_pairs.clean[rest])
    for mine, other in zip(without.part(rest), with_pairs.part(rest), strict=True):
        assert torch.equal(mine, other)
    for mine, other in zip(without.part(slice(6)), reference.part(slice(6)), strict=True):
        assert torch.equal(mine, other)
    assert torch.equal(without.clean[:6], reference.clean)


def test_only_the_model_is_differentiated(
    tiny: StableDiffusion, numbers: ProtectionMaterial, calls: list[Call]
) -> None:
    model, reference = tiny.copy(), tiny.copy()
    model.network.requires_grad_(True)
    reference.network.requires_grad_(True)
    protection_loss(model, reference, numbers, APDM(), generator(0)).backward()
    assert [call.errors.requires_grad for call in calls] == [False, True]
    assert all(weight.grad is not None for weight in model.network.parameters())
    assert all(weight.grad is None for weight in reference.network.parameters())


def test_the_loss_is_dpo_plus_the_weighted_prior(
    tiny: StableDiffusion, patterns: ProtectionMaterial, calls: list[Call], pattern_set
) -> None:
    model = tiny.copy()
    with torch.no_grad():
        for weight in model.network.parameters():
            weight.mul_(1.1)
    config = APDM(beta=3.0, prior_loss_weight=0.25, train_batch_size=2)
    loss = protection_loss(model, tiny, patterns, config, generator(0))
    reference, errors = calls[0].errors, calls[1].errors
    margin = (errors[:2] - reference[:2]) - (errors[2:4] - reference[2:4])
    assert_close(loss, softplus(3.0 * margin).mean() + 0.25 * errors[4:].mean())
    of_samples = dataclasses.replace(config, reduction=Reduction.SAMPLE_SUM)
    other = protection_loss(model, tiny, patterns, of_samples, generator(0))
    assert_close(other, softplus(3.0 * margin.flatten(1).sum(1)).mean() + 0.25 * errors[4:].mean())
    capped = protection_loss(
        model, tiny, patterns, dataclasses.replace(config, cap_positives=True), generator(0)
    )
    lost = (errors[:2] - reference[:2]).clamp(min=0)
    assert not torch.equal(lost, errors[:2] - reference[:2])
    margin = lost - (errors[2:4] - reference[2:4])
    assert_close(capped, softplus(3.0 * margin).mean() + 0.25 * errors[4:].mean())


def test_at_the_reference_the_gradient_is_half_beta_times_the_pairs_difference(
    tiny: StableDiffusion, patterns: ProtectionMaterial, calls: list[Call]
) -> None:
    model = tiny.copy()
    weights = list(model.network.requires_grad_(True).parameters())
    loss = protection_loss(model, tiny, patterns, APDM(beta=3.0, train_batch_size=2), generator(0))
    found = torch.autograd.grad(loss, weights, retain_graph=True)
    errors = calls[1].errors
    by_hand = 3.0 / 2 * (errors[:2].mean() - errors[2:4].mean()) + errors[4:].mean()
    assert_close(found, torch.autograd.grad(by_hand, weights), rtol=1e-4, atol=1e-6)
