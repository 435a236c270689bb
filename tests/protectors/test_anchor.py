"""The anchor: the drift of the class, what it costs and what it does."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.errors import Diverged
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors import anchor, apdm
from apdm.protectors.apdm import APDM, protect
from apdm.protectors.material import ProtectionMaterial
from apdm.seeding import generator

QUICK = APDM(outer_steps=2, inner_steps=3, learning_rate=1e-3, simulated=DreamBooth(learning_rate=1e-3))


def test_an_anchor_costs_a_pass_of_model_and_reference_an_outer_step(
    tiny: StableDiffusion, patterns: ProtectionMaterial, passes: list[tuple[int, bool]]
) -> None:
    protect(tiny, [patterns], dataclasses.replace(QUICK, anchor_weight=1.0, anchor_batch_size=7), 0)
    assert [rows for rows in passes if rows[0] == 7] == [(7, False), (7, True)] * QUICK.outer_steps


def test_every_turn_has_an_anchor_as_it_is_set_with_draws_of_its_own(
    tiny: StableDiffusion, patterns: ProtectionMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[float, int, int, int]] = []

    def note(_protected, _reference, _prior, weight, size, draws, step) -> None:
        seen.append((weight, size, draws.initial_seed(), step))

    monkeypatch.setattr(apdm, "add_anchor", note)
    protect(tiny, [patterns], dataclasses.replace(QUICK, anchor_weight=0.5, anchor_batch_size=7), 3)
    drawn = [generator(3, "anchor", number).initial_seed() for number in (0, 1)]
    assert seen == [(0.5, 7, drawn[0], 0), (0.5, 7, drawn[1], 1)]


def test_the_anchor_is_the_weighted_drift_on_class_images(
    tiny: StableDiffusion, numbers: ProtectionMaterial
) -> None:
    """A model whose prediction is 3 above the reference's has drifted by 9, at any noise and time."""
    moved = tiny.copy()
    seen = []
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        predict = moved.predict

        def shifted(noisy, t, condition):
            seen.append(condition)
            return predict(noisy, t, condition) + 3

        patch.setattr(moved, "predict", shifted)
        assert anchor.anchor_loss(moved, tiny, numbers.prior, 2.0, 4, generator(0)).item() == pytest.approx(
            18
        )
    assert torch.equal(seen[0].parts["text"], numbers.prior.condition.repeat(4).parts["text"])
    assert anchor.anchor_loss(tiny.copy(), tiny, numbers.prior, 2.0, 4, generator(0)).item() == 0


def test_an_anchor_that_is_no_number_stops_the_run(
    tiny: StableDiffusion, patterns: ProtectionMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchor, "anchor_loss", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(Diverged, match="the anchor diverged at step 1, its loss is nan"):
        protect(tiny, [patterns], dataclasses.replace(QUICK, anchor_weight=1.0), 0)


def test_the_anchor_holds_the_class(tiny: StableDiffusion, patterns: ProtectionMaterial) -> None:
    """The heavier the anchor, the less the protected model's own prediction for the class has moved."""
    drifts = [
        anchor.anchor_loss(
            protect(tiny, [patterns], config, 0), tiny, patterns.prior, 1.0, 24, generator(1)
        ).item()
        for config in (dataclasses.replace(QUICK, anchor_weight=weight) for weight in (0.0, 1e4))
    ]
    assert drifts[1] < 0.8 * drifts[0]
