"""A bank of reference errors: what it holds, what a step takes of it, and what it spares."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from apdm.backbones.base import Backbone
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.errors import InputError
from apdm.losses.denoising import denoising_error
from apdm.personalizers.dreambooth import DreamBooth
from apdm.personalizers.textual_inversion import TextualInversion
from apdm.protectors import apdm
from apdm.protectors.apdm import APDM, draw_batch, fill_bank, protect, protection_loss
from apdm.protectors.material import ProtectionMaterial
from apdm.protectors.pairs import Noised, ReferenceBank
from apdm.seeding import generator

BANKED = APDM(learning_rate=1e-3, outer_steps=2, inner_steps=2, simulated=DreamBooth(1e-3), reference_draws=6)


def test_a_batch_is_positives_then_their_negatives_at_the_same_noise_and_times() -> None:
    numbers = torch.arange(6.0)
    bank = ReferenceBank(
        Noised(*(numbers.view(6, 1, 1, 1) + kind for kind in (0.0, 10.0)), t=numbers % 3),
        errors=numbers.view(6, 1, 1, 1) + 20,
    )
    pairs, errors = bank.choose(50, generator(0))
    positives = pairs.clean.flatten()[:50]
    assert set(positives.tolist()) == {0.0, 1.0, 2.0}
    assert torch.equal(pairs.clean.flatten()[50:], positives + 3)
    assert torch.equal(errors.flatten(), pairs.clean.flatten() + 20)
    assert torch.equal(pairs.noise.flatten(), pairs.clean.flatten() + 10)
    assert torch.equal(pairs.t, torch.cat([positives, positives]))


def test_the_bank_holds_what_the_reference_makes_of_each_pair(
    tiny: StableDiffusion, patterns: ProtectionMaterial
) -> None:
    bank = fill_bank(tiny, patterns, BANKED, 5)
    drawn, _ = draw_batch(tiny, patterns, 6, True, generator(5, "reference bank"))
    condition = patterns.negatives.condition.repeat(12)
    wanted = denoising_error(tiny, drawn.clean, condition, drawn.noise, drawn.t)
    assert_close(bank.errors, wanted)
    assert torch.equal(bank.pairs.noise[:6], bank.pairs.noise[6:])


def test_the_loss_is_that_of_the_pairs_from_the_bank(
    tiny: StableDiffusion, patterns: ProtectionMaterial
) -> None:
    """With the bank's pairs as the drawn ones: only the class images' term remains of the fresh draw."""
    model = tiny.copy()
    with torch.no_grad():
        next(model.network.parameters()).add_(0.1)
    bank = fill_bank(tiny, patterns, replace(BANKED, reference_draws=1), 5)
    doubled = ReferenceBank(bank.pairs, 2 * bank.errors)
    config = replace(BANKED, prior_loss_weight=0.0)
    losses = [protection_loss(model, tiny, patterns, config, generator(1), it) for it in (bank, doubled)]
    again = protection_loss(model, tiny, patterns, config, generator(2), bank)
    assert_close(losses[0], again)  # one pair only: whatever is drawn
    assert losses[0] != losses[1]


def test_the_reference_predicts_nothing_more_once_the_bank_is_full(
    tiny: StableDiffusion, patterns: ProtectionMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def heard(model: Backbone, clean, *others):
        if model is tiny:
            asked.append(len(clean))
        return denoising_error(model, clean, *others)

    monkeypatch.setattr(apdm, "denoising_error", heard)
    protect(tiny, [patterns], BANKED, 0)
    assert asked == [8, 4]
    asked.clear()
    protect(tiny, [patterns], replace(BANKED, reference_draws=0), 0)
    assert asked == [2] * 4


def test_the_bank_is_of_nothing_but_the_seed(tiny: StableDiffusion, patterns: ProtectionMaterial) -> None:
    """So that a run that is taken up fills the same one."""
    once, again = (protect(tiny, [patterns], BANKED, 3).weights() for _ in range(2))
    assert all(torch.equal(weight, again[name]) for name, weight in once.items())


def test_unpaired_the_bank_shares_no_noise(tiny: StableDiffusion, patterns: ProtectionMaterial) -> None:
    pairs = fill_bank(tiny, patterns, replace(BANKED, paired=False), 5).pairs
    assert not any(torch.equal(pairs.noise[row], pairs.noise[row + 6]) for row in range(6))


def test_draws_are_counted() -> None:
    with pytest.raises(InputError, match="reference_draws"):
        APDM(reference_draws=-1)


@pytest.mark.parametrize("simulated", [TextualInversion(), DreamBooth(train_text_encoder=True)])
def test_an_attack_that_learns_its_prompts_is_refused(simulated) -> None:
    with pytest.raises(
        InputError, match="learns its prompts, and reference errors hold for unchanged ones: set"
    ):
        APDM(simulated=simulated, reference_draws=8)
