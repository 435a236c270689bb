"""APDM: what reaches which network, the loss by arithmetic, the loop by hand, and what it does."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.testing import assert_close

from apdm.backbones.base import Backbone, EncodedImages, Moments, Sampling
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.errors import Diverged, InputError
from apdm.losses.denoising import denoising_error
from apdm.losses.dpo import Reduction
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors import apdm
from apdm.protectors.apdm import (
    APDM,
    PUBLISHED,
    ProtectionMaterial,
    paired_positives,
    protect,
    protection_loss,
    protection_material,
)
from apdm.seeding import derive, generator

INSTANCE, CLASS = "a photo of sks dog", "a photo of dog"
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
        "leak": False,
    }


def weight_of(model: Backbone) -> nn.Parameter:
    """The one weight of a `OneWeight` or its copy."""
    return next(model.network.parameters())


# Material


def numbered(model: Backbone, first: float, count: int, prompt: str) -> EncodedImages:
    """Latents filled with first, first + 1, ..., nothing to be drawn."""
    mean = (first + torch.arange(count, dtype=torch.float32)).view(-1, 1, 1, 1).expand(-1, 4, 8, 8)
    return EncodedImages(Moments(mean, torch.zeros_like(mean)), model.encode_prompts([prompt]))


@pytest.fixture
def numbers(tiny: StableDiffusion) -> ProtectionMaterial:
    """Negatives 10 to 12, their positives 20 to 22, class images 30 to 34."""
    return ProtectionMaterial(
        negatives=numbered(tiny, 10, 3, INSTANCE),
        positives=numbered(tiny, 20, 3, INSTANCE),
        prior=numbered(tiny, 30, 5, CLASS),
    )


@pytest.fixture
def patterns(pattern_set) -> ProtectionMaterial:
    """Subject, positives and class: variations of three random latent pictures."""
    return ProtectionMaterial(pattern_set(1, INSTANCE), pattern_set(2, INSTANCE), pattern_set(3, CLASS))


def test_pairs_must_be_complete(tiny: StableDiffusion) -> None:
    with pytest.raises(
        InputError, match="3 subject images but 2 paired positives: give one positive for each"
    ):
        ProtectionMaterial(*(numbered(tiny, 0, count, INSTANCE) for count in (3, 2, 1)))


def test_the_attack_sees_subject_and_class(numbers: ProtectionMaterial) -> None:
    assert numbers.attack.instance is numbers.negatives
    assert numbers.attack.prior is numbers.prior


def test_positives_are_encoded_under_the_instance_prompt(
    tiny: StableDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = torch.rand(7, 3, 16, 16, generator=generator(0)) * 2 - 1
    seen, encode_prompts = [], tiny.encode_prompts
    monkeypatch.setattr(
        tiny, "encode_prompts", lambda prompts: (seen.extend(prompts), encode_prompts(prompts))[1]
    )
    made = protection_material(tiny, pixels[:2], pixels[2:4], pixels[4:], INSTANCE, CLASS)
    assert seen == ["a photo of sks dog", "a photo of sks dog", "a photo of dog"]
    means = tiny.encode_images(pixels).mean
    assert_close(made.negatives.moments.mean, means[:2])
    assert_close(made.positives.moments.mean, means[2:4])
    assert_close(made.prior.moments.mean, means[4:])
    assert torch.equal(made.positives.condition.parts["text"], made.negatives.condition.parts["text"])


def test_positives_are_pictures_of_the_class_each_from_its_seed(one_weight) -> None:
    model = one_weight()
    images = paired_positives(model, CLASS, 3, 7, Sampling())
    assert model.prompts == [CLASS] * 3
    assert images[:, 0, 0, 0].tolist() == [derive(7, "positive", number) % 1000 for number in range(3)]


# The loss


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
    of_model, of_reference = calls
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
    assert len({row.sum().item() for row in calls[0].noise}) == 6  # three pairs, three class images
    assert len(set(calls[0].t.tolist())) == 6
    assert len(set(calls[0].clean[:, 0, 0, 0].tolist())) == 9


def test_unpaired_positives_are_class_images_at_draws_of_their_own(
    tiny: StableDiffusion, numbers: ProtectionMaterial, calls: list[Call]
) -> None:
    """Table 4: nothing is shared but the prompt; photos and class term are those of the paired loss."""
    for paired in (True, False):
        config = APDM(train_batch_size=3, paired=paired)
        protection_loss(tiny.copy(), tiny, numbers, config, generator(0))
    with_pairs, _, without, reference = calls
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
    assert [call.errors.requires_grad for call in calls] == [True, False]
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
    errors, reference = calls[0].errors, calls[1].errors
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
    errors = calls[0].errors
    by_hand = 3.0 / 2 * (errors[:2].mean() - errors[2:4].mean()) + errors[4:].mean()
    assert_close(found, torch.autograd.grad(by_hand, weights), rtol=1e-4, atol=1e-6)


# The loop


@pytest.mark.parametrize("leak", [False, True])
def test_the_loop_by_hand(
    one_weight, quadratic_attack, numbers, adamw_by_hand, monkeypatch: pytest.MonkeyPatch, leak: bool
) -> None:
    """One weight, attack (w - 1)^2, protection (w + 2)^2: fresh look-aheads, one lasting outer AdamW."""

    def quadratic(model, reference, material, config, draws) -> Tensor:
        return (weight_of(model) + 2).square()

    def gradient(start: float) -> float:
        path = [start, *adamw_by_hand(start, lambda w: 2 * (w - 1), 0.3, 4)]
        leaked = sum(2 * (w - 1) for w in path[:-1]) if leak else 0.0
        return sum(2 * (w + 2) for w in path[1:]) + leaked

    monkeypatch.setattr(apdm, "protection_loss", quadratic)
    config = APDM(outer_steps=6, inner_steps=4, learning_rate=0.9, simulated=quadratic_attack, leak=leak)
    protected = protect(one_weight(5.0), numbers, config, 0)
    expected = adamw_by_hand(5.0, gradient, 0.9, 6)[-1]
    assert weight_of(protected).item() == pytest.approx(expected, rel=1e-9)


def test_without_a_look_ahead_the_loss_is_descended_where_the_weights_are(
    one_weight, quadratic_attack, numbers, adamw_by_hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Table 5: AdamW on (w + 2)^2 and nothing else; the attack is never asked."""
    seeds = []

    def quadratic(model, reference, material, config, draws) -> Tensor:
        seeds.append(draws.initial_seed())
        return (weight_of(model) + 2).square()

    monkeypatch.setattr(apdm, "protection_loss", quadratic)
    monkeypatch.setattr(apdm, "LookAhead", None)
    config = APDM(outer_steps=6, inner_steps=0, learning_rate=0.9, simulated=quadratic_attack)
    protected = protect(one_weight(5.0), numbers, config, 0)
    expected = adamw_by_hand(5.0, lambda w: 2 * (w + 2), 0.9, 6)[-1]
    assert weight_of(protected).item() == pytest.approx(expected, rel=1e-9)
    assert quadratic_attack.seeds == []
    assert len(set(seeds)) == 6


def test_without_a_look_ahead_a_step_costs_five_forward_and_three_backward_samples(
    tiny: StableDiffusion, patterns: ProtectionMaterial, monkeypatch: pytest.MonkeyPatch, heard
) -> None:
    passes, predict = [], StableDiffusion.predict

    def spy(self, noisy, t, condition):
        predicted = predict(self, noisy, t, condition)
        passes.append((len(noisy), predicted.requires_grad))
        return predicted

    monkeypatch.setattr(StableDiffusion, "predict", spy)
    protect(tiny, patterns, dataclasses.replace(QUICK, inner_steps=0), 0, heard)
    assert passes == [(3, True), (2, False)] * 2
    assert heard.figures[1].keys() == {"protection_loss"}


def test_a_step_costs_seven_forward_and_five_backward_samples(
    tiny: StableDiffusion, patterns: ProtectionMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L_per 2, DPO 2, prior 1 with gradient, the reference 2 without; neither images nor text again."""
    passes: list[tuple[int, bool]] = []
    predict = StableDiffusion.predict

    def spy(self, noisy, t, condition):
        predicted = predict(self, noisy, t, condition)
        passes.append((len(noisy), predicted.requires_grad))
        return predicted

    def refuse(*_: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(StableDiffusion, "predict", spy)
    monkeypatch.setattr(StableDiffusion, "encode_images", refuse)
    monkeypatch.setattr(StableDiffusion, "encode_prompts", refuse)
    protect(tiny, patterns, QUICK, 0)
    assert passes == [(2, True), (3, True), (2, False)] * 6
    assert sum(count for count, _ in passes) == 7 * 6
    assert sum(count for count, backward in passes if backward) == 5 * 6


def test_an_anchor_costs_a_pass_of_model_and_reference_an_outer_step(
    tiny: StableDiffusion, patterns: ProtectionMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes, predict = [], StableDiffusion.predict

    def spy(self, noisy, t, condition):
        predicted = predict(self, noisy, t, condition)
        passes.append((len(noisy), predicted.requires_grad))
        return predicted

    monkeypatch.setattr(StableDiffusion, "predict", spy)
    protect(tiny, patterns, dataclasses.replace(QUICK, anchor_weight=1.0, anchor_batch_size=7), 0)
    assert [rows for rows in passes if rows[0] == 7] == [(7, False), (7, True)] * QUICK.outer_steps


def test_the_anchor_is_the_weighted_drift_on_class_images(
    tiny: StableDiffusion, numbers: ProtectionMaterial
) -> None:
    """A model whose prediction is 3 above the reference's has drifted by 9, at any noise and time."""
    moved = tiny.copy()
    config = dataclasses.replace(QUICK, anchor_weight=2.0, anchor_batch_size=4)
    seen = []
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        predict = moved.predict

        def shifted(noisy, t, condition):
            seen.append(condition)
            return predict(noisy, t, condition) + 3

        patch.setattr(moved, "predict", shifted)
        assert apdm.anchor_loss(moved, tiny, numbers.prior, config, generator(0)).item() == pytest.approx(18)
    assert torch.equal(seen[0].parts["text"], numbers.prior.condition.repeat(4).parts["text"])
    assert apdm.anchor_loss(tiny.copy(), tiny, numbers.prior, config, generator(0)).item() == 0


def test_an_anchor_that_is_no_number_stops_the_run(
    tiny: StableDiffusion, patterns: ProtectionMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apdm, "anchor_loss", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(Diverged, match="the anchor diverged at step 1, its loss is nan"):
        protect(tiny, patterns, dataclasses.replace(QUICK, anchor_weight=1.0), 0)


def test_the_anchor_holds_the_class(tiny: StableDiffusion, patterns: ProtectionMaterial) -> None:
    """The heavier the anchor, the less the protected model's own prediction for the class has moved."""
    probe = dataclasses.replace(QUICK, anchor_weight=1.0, anchor_batch_size=24)
    drifts = [
        apdm.anchor_loss(protect(tiny, patterns, config, 0), tiny, patterns.prior, probe, generator(1)).item()
        for config in (dataclasses.replace(QUICK, anchor_weight=weight) for weight in (0.0, 1e4))
    ]
    assert drifts[1] < 0.8 * drifts[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"restart_every": 0}, "restart_every is 0: give 1"),
        ({"anchor_weight": -1.0}, "anchor_weight is -1.0: give 0"),
        ({"anchor_batch_size": 0}, "anchor_batch_size is 0: give 1"),
    ],
)
def test_settings_without_meaning_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        APDM(**settings)


def test_the_attack_is_carried_on_where_the_settings_say_so(
    tiny: StableDiffusion, patterns: ProtectionMaterial
) -> None:
    settings = (dataclasses.replace(QUICK, restart_every=every) for every in (1, 2))
    anew, carried = (protect(tiny, patterns, config, 0).weights() for config in settings)
    assert not any(torch.equal(weight, carried[name]) for name, weight in anew.items())


def test_the_reference_stays_as_it_is(tiny: StableDiffusion, patterns: ProtectionMaterial) -> None:
    reference = tiny.copy()
    protected = protect(reference, patterns, QUICK, 0)
    for name, weight in reference.weights().items():
        assert torch.equal(weight, tiny.weights()[name])
        assert weight.grad is None
        assert not weight.requires_grad
        assert not torch.equal(weight, protected.weights()[name])


def test_the_result_is_at_rest(tiny: StableDiffusion, patterns: ProtectionMaterial) -> None:
    protected = protect(tiny, patterns, QUICK, 0)
    assert not any(weight.requires_grad for weight in protected.network.parameters())
    assert all(weight.grad is None for weight in protected.network.parameters())
    assert isinstance(protected, StableDiffusion)
    assert protected.pipeline.vae is tiny.pipeline.vae


def test_seeds_reproduce(tiny: StableDiffusion, patterns: ProtectionMaterial) -> None:
    first, same, other = (protect(tiny, patterns, QUICK, seed).weights() for seed in (0, 0, 1))
    assert all(torch.equal(weight, same[name]) for name, weight in first.items())
    assert not any(torch.equal(weight, other[name]) for name, weight in first.items())


def test_the_watch_hears_every_outer_step(tiny: StableDiffusion, patterns: ProtectionMaterial, heard) -> None:
    protect(tiny, patterns, QUICK, 0, heard)
    assert heard.steps == [("protect", done, 2) for done in (0, 1, 2)]
    assert heard.figures[1].keys() == {"personalization_loss", "protection_loss"}
    assert all(0 < value < 10 for value in heard.figures[1].values())


# What it does


@pytest.fixture(scope="module")
def hard() -> APDM:
    simulated = DreamBooth(learning_rate=1e-3)
    return APDM(outer_steps=30, inner_steps=2, learning_rate=3e-3, train_batch_size=4, simulated=simulated)


def test_the_subject_becomes_harder_than_its_positives_and_the_class_stays(
    tiny, patterns, hard: APDM, mean_error
) -> None:
    protected = protect(tiny, patterns, hard, 0)
    subject, positives, of_class = (
        mean_error(protected, s) for s in (patterns.negatives, patterns.positives, patterns.prior)
    )
    assert mean_error(tiny, patterns.negatives) - mean_error(tiny, patterns.positives) < 0.01
    assert subject - positives > 0.1
    assert of_class < mean_error(tiny, patterns.prior)


def test_with_the_leak_the_subject_is_learnt_instead(tiny, patterns, hard: APDM, mean_error) -> None:
    leaking = protect(tiny, patterns, dataclasses.replace(hard, leak=True), 0)
    assert mean_error(leaking, patterns.negatives) < 0.8 * mean_error(tiny, patterns.negatives)
    assert mean_error(leaking, patterns.negatives) - mean_error(leaking, patterns.positives) < 0.02
