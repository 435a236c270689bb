"""IMMA: which weights, which sign, in turns, and what is kept."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn

from apdm.backbones.base import Backbone
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.errors import InputError
from apdm.personalizers.base import Attachment, Material, Personalizer, personalize
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors import imma
from apdm.protectors.imma import IMMA, immunize
from apdm.seeding import generator

INSTANCE, CLASS = "a photo of sks dog", "a photo of dog"
ATTACK = DreamBooth(learning_rate=1e-3, train_batch_size=4)
QUICK = IMMA(learning_rate=1e-3, max_train_steps=4, simulated=ATTACK)


@pytest.fixture(scope="module")
def material(pattern_set) -> Material:
    return Material(pattern_set(1, INSTANCE), None)


def test_the_published_settings() -> None:
    assert dataclasses.asdict(IMMA(simulated=QUICK.simulated)) | {"simulated": None} == {
        "learning_rate": 2e-5,
        "max_train_steps": 1000,
        "max_grad_norm": 1.0,
        "num_class_images": 0,
        "simulated": None,
    }
    assert IMMA().simulated == DreamBooth(learning_rate=5e-6, train_batch_size=1)


# Which weights


def test_attention_is_every_projection_of_self_and_cross_attention(tiny: StableDiffusion) -> None:
    """By diffusers' classes; its names of the same are written out here."""
    names = set(tiny.weights())
    every = {n for n in names if any(f".{part}." in n for part in ("to_q", "to_k", "to_v", "to_out"))}
    assert set(tiny.group("attention")) == every
    assert any("attn1" in name for name in every)
    crossing = {name for name in every if ".attn2." in name}
    assert set(tiny.group("cross_attention")) == crossing
    keys_values = {name for name in crossing if ".to_k." in name or ".to_v." in name}
    assert set(tiny.group("cross_kv")) == keys_values
    assert len(every) > len(crossing) > len(keys_values) > 0
    for name, weight in tiny.group("attention").items():
        assert weight is tiny.weights()[name]


def test_a_network_without_attention_is_refused(one_weight) -> None:
    with pytest.raises(InputError, match="has no attention: take another method"):
        immunize(one_weight(), None, QUICK, 0)  # pyright: ignore[reportArgumentType]


def test_only_attention_is_kept_and_all_of_it(tiny: StableDiffusion, material: Material) -> None:
    immune = immunize(tiny, material, QUICK, 0)
    changed = {n for n, w in immune.weights().items() if not torch.equal(w, tiny.weights()[n])}
    assert changed == set(tiny.group("attention"))
    assert not any(weight.requires_grad for weight in immune.weights().values())


# The loop


@dataclasses.dataclass
class Step:
    """Which optimizer stepped, on how many weights, at which gradients."""

    rate: float
    gradients: list[Tensor | None]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """Every optimizer step; nothing is moved, so that all gradients belong to the same weights."""
    seen: list[Step] = []

    class Recording(torch.optim.SGD):
        def step(self, closure=None) -> None:
            weights = self.param_groups[0]["params"]
            gradients = [None if w.grad is None else w.grad.clone() for w in weights]
            seen.append(Step(self.param_groups[0]["lr"], gradients))

    monkeypatch.setattr(imma, "adamw", lambda weights, rate, _: Recording(weights, lr=rate))
    return seen


UNCLIPPED = dataclasses.replace(
    QUICK, learning_rate=7.0, max_grad_norm=0.0, simulated=dataclasses.replace(ATTACK, max_grad_norm=1e9)
)


@pytest.mark.parametrize(("count", "descents", "ascents"), [(6, 3, 3), (5, 3, 2)])
def test_steps_alternate_strictly(tiny, material, steps: list[Step], count, descents, ascents) -> None:
    immunize(tiny, material, dataclasses.replace(UNCLIPPED, max_train_steps=count), 0)
    assert [step.rate for step in steps] == [1e-3, 7.0, 1e-3, 7.0, 1e-3, 7.0][:count]
    assert sum(step.rate == 7.0 for step in steps) == ascents
    assert sum(step.rate == 1e-3 for step in steps) == descents


def test_even_steps_descend_over_all_and_odd_ones_ascend_over_attention(
    tiny: StableDiffusion, material: Material, steps: list[Step]
) -> None:
    """Each step's gradient is that of its own loss, with its own sign, and of nothing before it."""
    immunize(tiny, material, UNCLIPPED, 0)
    model = tiny.copy()
    every = list(model.network.requires_grad_(True).parameters())
    attention = list(model.group("attention").values())
    for number, (step, moved, sign) in enumerate(
        zip(steps, [every, attention] * 2, [1, -1] * 2, strict=True)
    ):
        loss = ATTACK.loss(model, material, generator(0, "imma", number))
        expected = torch.autograd.grad(loss, moved)
        assert len(step.gradients) == len(expected)
        for found, gradient in zip(step.gradients, expected, strict=True):
            torch.testing.assert_close(found, sign * gradient)


def test_both_kinds_of_step_are_clipped(tiny: StableDiffusion, material: Material, steps: list[Step]) -> None:
    attack = dataclasses.replace(ATTACK, max_grad_norm=1e-4)
    immunize(tiny, material, dataclasses.replace(QUICK, max_grad_norm=1e-3, simulated=attack), 0)
    norms = [
        math.sqrt(sum(g.square().sum().item() for g in step.gradients if g is not None)) for step in steps
    ]
    assert norms == pytest.approx([1e-4, 1e-3] * 2, rel=1e-2)


def test_the_arithmetic_of_the_loop(one_weight, quadratic_attack, adamw_by_hand, monkeypatch) -> None:
    """One weight that is all the attention there is: two AdamW of their own, nothing put back in between."""
    monkeypatch.setattr(Backbone, "group", lambda model, name: model.weights())
    config = IMMA(learning_rate=0.2, max_train_steps=4, max_grad_norm=0, simulated=quadratic_attack)
    immune = immunize(one_weight(5.0), None, config, 0)  # pyright: ignore[reportArgumentType]

    path, weight, moments = [], 5.0, {0: [0.0, 0.0], 1: [0.0, 0.0]}
    for step in range(4):
        kind, rate, sign = (0, 0.3, 1) if step % 2 == 0 else (1, 0.2, -1)
        gradient, count = sign * 2 * (weight - 1), step // 2 + 1
        mean, square = moments[kind]
        moments[kind] = mean, square = [0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2]
        direction = mean / (1 - 0.9**count) / ((square / (1 - 0.999**count)) ** 0.5 + 1e-8)
        weight -= rate * 0.01 * weight + rate * direction
        path.append(weight)
    assert path[0] < 5.0 < path[1] + 0.2
    assert next(immune.network.parameters()).item() == pytest.approx(weight, rel=1e-9)


# Any adaptation


class Beside(Personalizer):
    """Learns a factor of the condition and leaves the network alone, as adapters do."""

    learning_rate, max_train_steps, max_grad_norm = 1e-2, 1, 1.0

    def attach(self, backbone: Backbone, seed: int = 0) -> Attachment:
        self.factor, self.ejected = nn.Parameter(torch.ones(())), False
        backbone.network.requires_grad_(False)
        return Attachment([self.factor], backbone.weights(), self.eject)

    def eject(self) -> None:
        self.ejected = True

    def loss(self, backbone: Backbone, material: Material, generator: torch.Generator) -> Tensor:
        images = material.instance
        parts = {name: self.factor * part for name, part in images.condition.parts.items()}
        other = dataclasses.replace(images, condition=dataclasses.replace(images.condition, parts=parts))
        return ATTACK.loss(backbone, Material(other, None), generator)


def test_any_adaptation_will_do(tiny: StableDiffusion, material: Material) -> None:
    beside = Beside()
    immune = immunize(tiny, material, dataclasses.replace(QUICK, simulated=beside), 0)
    assert beside.factor.item() != 1
    assert beside.ejected
    changed = {n for n, w in immune.weights().items() if not torch.equal(w, tiny.weights()[n])}
    assert changed == set(tiny.group("attention"))


def test_a_descent_beside_the_network_leaves_the_ascent_nothing(
    tiny: StableDiffusion, material: Material, steps: list[Step]
) -> None:
    immunize(tiny, material, dataclasses.replace(UNCLIPPED, simulated=Beside()), 0)
    model = tiny.copy()
    model.network.requires_grad_(True)
    attention = list(model.group("attention").values())
    for number in (1, 3):
        loss = ATTACK.loss(model, material, generator(0, "imma", number))
        for found, gradient in zip(
            steps[number].gradients, torch.autograd.grad(loss, attention), strict=True
        ):
            torch.testing.assert_close(found, -gradient)


# What it does


def test_the_subject_is_learnt_worse(tiny: StableDiffusion, material: Material, mean_error) -> None:
    immune = immunize(tiny, material, dataclasses.replace(QUICK, learning_rate=4e-3, max_train_steps=60), 0)
    attack = dataclasses.replace(ATTACK, max_train_steps=20)
    learnt = [mean_error(personalize(it, attack, material, 1), material.instance) for it in (tiny, immune)]
    assert learnt[1] > 1.05 * learnt[0]


def test_seeds_reproduce_and_the_watch_hears_every_step(tiny, material, heard) -> None:
    first, same, other = (immunize(tiny, material, QUICK, seed, heard).weights() for seed in (0, 0, 1))
    attention = tiny.group("attention")
    assert all(torch.equal(first[name], same[name]) for name in attention)
    assert not any(torch.equal(first[name], other[name]) for name in attention)
    assert heard.steps[:5] == [("imma", done, 4) for done in range(5)]


def test_a_loss_that_is_no_number_stops_the_run(tiny, material, monkeypatch) -> None:
    monkeypatch.setattr(DreamBooth, "loss", lambda *_: torch.tensor(math.nan, requires_grad=True))
    with pytest.raises(InputError, match="IMMA diverged at step 1"):
        immunize(tiny, material, QUICK, 0)


@pytest.mark.parametrize("settings", [{"max_train_steps": 0}, {"learning_rate": 0}, {"max_grad_norm": -1}])
def test_settings_without_meaning_are_refused(settings: dict) -> None:
    with pytest.raises(InputError):
        IMMA(**settings)
