"""The look-ahead on a model of one weight; every expected number is computed by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from apdm.backbones.base import Backbone, Condition, EncodedImages, Moments
from apdm.errors import Diverged
from apdm.personalizers.base import Attachment, Material
from apdm.personalizers.lora import LoRA
from apdm.protectors.l2p import LookAhead
from apdm.seeding import derive

NOTHING = Material(EncodedImages(Moments(torch.zeros(1), torch.zeros(1)), Condition({})), None)
STEPS = 4


def weight_of(model: Backbone) -> nn.Parameter:
    """The one weight of a `OneWeight` or its copy."""
    return next(model.network.parameters())


def gradient_of(model: Backbone) -> Tensor:
    gradient = weight_of(model).grad
    assert gradient is not None
    return gradient


def protection_loss(model: Backbone, draws: torch.Generator) -> Tensor:
    """(w + 2)^2: its gradient is 2 (w + 2), the attack's is 2 (w - 1)."""
    return (weight_of(model) + 2).square()


@pytest.fixture
def protected(one_weight):
    model = one_weight(5.0)
    model.network.requires_grad_(True)
    return model


@pytest.fixture
def path(adamw_by_hand) -> list[float]:
    """th'_0 to th'_4 of the simulated attack."""
    return [5.0, *adamw_by_hand(5.0, lambda w: 2 * (w - 1), 0.3, STEPS)]


def test_the_protection_gradients_after_each_step_are_summed(protected, quadratic_attack, path) -> None:
    LookAhead(protected, quadratic_attack, STEPS).gather(NOTHING, protection_loss, 0)
    expected = sum(2 * (w + 2) for w in path[1:])
    assert gradient_of(protected).item() == pytest.approx(expected, rel=1e-9)


def test_the_leak_adds_the_attacks_own_gradients(protected, quadratic_attack, path) -> None:
    LookAhead(protected, quadratic_attack, STEPS, leak=True).gather(NOTHING, protection_loss, 0)
    expected = sum(2 * (w + 2) for w in path[1:]) + sum(2 * (w - 1) for w in path[:-1])
    assert gradient_of(protected).item() == pytest.approx(expected, rel=1e-9)


def test_a_carried_attack_goes_on_and_starts_anew_in_its_turn(
    protected, quadratic_attack, adamw_by_hand
) -> None:
    long = adamw_by_hand(5.0, lambda w: 2 * (w - 1), 0.3, 2 * STEPS)
    look_ahead = LookAhead(protected, quadratic_attack, STEPS, restart_every=2)
    for number, steps in enumerate((long[:STEPS], long[STEPS:], long[:STEPS])):
        weight_of(protected).grad = None
        look_ahead.gather(NOTHING, protection_loss, 0, number)
        assert gradient_of(protected).item() == pytest.approx(sum(2 * (w + 2) for w in steps), rel=1e-9)


def test_a_carried_attack_moves_along_with_the_protected_weights(protected, quadratic_attack) -> None:
    look_ahead = LookAhead(protected, quadratic_attack, STEPS, restart_every=2)
    with torch.no_grad():
        weight_of(protected).add_(1.0)  # before the first look-ahead: no part of what is carried
    look_ahead.gather(NOTHING, protection_loss, 0)
    reached = weight_of(look_ahead.model).item()
    with torch.no_grad():
        weight_of(protected).add_(0.25)
    look_ahead.follow(1)
    assert weight_of(look_ahead.model).item() == pytest.approx(reached + 0.25)


def test_only_a_carried_attack_leaves_something_to_the_next_look_ahead(protected, quadratic_attack) -> None:
    assert LookAhead(protected, quadratic_attack, STEPS).state() == {}
    look_ahead = LookAhead(protected, quadratic_attack, STEPS, restart_every=2)
    state = look_ahead.state()
    look_ahead.gather(NOTHING, protection_loss, 0)
    assert state["attack"]["0"] is weight_of(look_ahead.model)
    assert state["attack_start"]["0"].item() == 5.0
    assert state["attack_optimizer"]["0.step"].item() == STEPS


@pytest.mark.parametrize(
    ("broken", "named"), [("attack", "the simulated attack of"), ("loss", "the protection in")]
)
def test_a_loss_that_is_no_number_says_which_and_where(
    protected, quadratic_attack, monkeypatch: pytest.MonkeyPatch, broken: str, named: str
) -> None:
    calls = []

    def third_is_none(model: Backbone, *_: object) -> Tensor:
        calls.append(model)
        return weight_of(model) * (torch.nan if len(calls) == 3 else 1.0)

    if broken == "attack":
        monkeypatch.setattr(type(quadratic_attack), "loss", lambda self, *given: third_is_none(*given))
    loss = third_is_none if broken == "loss" else protection_loss
    with pytest.raises(Diverged, match=f"{named} look-ahead 12 diverged at step 3, its loss is nan"):
        LookAhead(protected, quadratic_attack, STEPS).gather(NOTHING, loss, 0, 11)


def test_the_mean_losses_are_told(protected, quadratic_attack, path) -> None:
    told = LookAhead(protected, quadratic_attack, STEPS).gather(NOTHING, protection_loss, 0)
    assert told.personalization == pytest.approx(sum((w - 1) ** 2 for w in path[:-1]) / STEPS)
    assert told.protection == pytest.approx(sum((w + 2) ** 2 for w in path[1:]) / STEPS)


@pytest.mark.parametrize("leak", [False, True])
def test_every_look_ahead_starts_afresh(protected, quadratic_attack, leak: bool) -> None:
    """From the protected weights, with an optimizer that has not made a step."""
    look_ahead = LookAhead(protected, quadratic_attack, STEPS, leak)
    look_ahead.gather(NOTHING, protection_loss, 0)
    once = gradient_of(protected).item()
    look_ahead.gather(NOTHING, protection_loss, 1)
    assert gradient_of(protected).item() == pytest.approx(2 * once, rel=1e-9)


def test_it_follows_the_protected_weights(protected, quadratic_attack, adamw_by_hand) -> None:
    look_ahead = LookAhead(protected, quadratic_attack, STEPS)
    with torch.no_grad():
        weight_of(protected).fill_(-3.0)
    look_ahead.gather(NOTHING, protection_loss, 0)
    expected = sum(2 * (w + 2) for w in adamw_by_hand(-3.0, lambda w: 2 * (w - 1), 0.3, STEPS))
    assert gradient_of(protected).item() == pytest.approx(expected, rel=1e-9)


def test_the_protected_weights_do_not_move_and_share_no_memory(protected, quadratic_attack) -> None:
    look_ahead = LookAhead(protected, quadratic_attack, STEPS)
    look_ahead.gather(NOTHING, protection_loss, 0)
    theirs = weight_of(look_ahead.model)
    assert weight_of(protected).item() == 5.0
    assert theirs.item() != 5.0
    assert weight_of(protected).data_ptr() != theirs.data_ptr()
    assert gradient_of(protected).item() != 0
    assert theirs.grad is None


def test_attack_and_protection_draw_from_streams_of_their_own(protected, quadratic_attack) -> None:
    seeds = []

    def noting(model: Backbone, draws: torch.Generator) -> Tensor:
        seeds.append(draws.initial_seed())
        return protection_loss(model, draws)

    LookAhead(protected, quadratic_attack, STEPS).gather(NOTHING, noting, 7)
    assert quadratic_attack.seeds == [derive(7, "attack", step) for step in range(STEPS)]
    assert seeds == [derive(7, "protection", step) for step in range(STEPS)]


def test_gradients_are_read_where_the_personalizer_says(protected, quadratic_attack) -> None:
    """An attack that adds a tensor of its own to a base that stays, as LoRA does; the network's own
    weight takes no part in the sum, the base stands for it."""
    base = nn.Parameter(torch.tensor(5.0, dtype=torch.float64), requires_grad=False)
    added = nn.Parameter(torch.tensor(0.0, dtype=torch.float64))

    class Adding(type(quadratic_attack)):
        def attach(self, backbone: Backbone, seed: int = 0) -> Attachment:
            return Attachment([added], dict.fromkeys(backbone.weights(), base), lambda: None)

        def loss(self, backbone: Backbone, material: Material, generator: torch.Generator) -> Tensor:
            return (base.detach() + added - 1).square()

    def loss(model: Backbone, draws: torch.Generator) -> Tensor:
        return (base + added + 2).square()

    LookAhead(protected, Adding(), 1).gather(NOTHING, loss, 0)
    assert added.item() == pytest.approx(-0.3)  # the first AdamW step is the learning rate long
    assert gradient_of(protected).item() == pytest.approx(2 * (5.0 - 0.3 + 2))
    assert not base.requires_grad  # the next step of the attack computes no gradient of it


def test_a_simulated_attack_does_not_begin_as_the_real_one(tiny) -> None:
    """LoRA's factors begin at random; a protector must not know which the attacker will draw."""
    attack = LoRA()
    simulated = LookAhead(tiny.copy(), attack, 1, seed=0).attachment.trainable
    real = attack.attach(tiny.copy(), 0).trainable
    other = LookAhead(tiny.copy(), attack, 1, seed=1).attachment.trainable
    assert not any(torch.equal(a, b) for a, b in zip(simulated[::2], real[::2], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(simulated[::2], other[::2], strict=True))
