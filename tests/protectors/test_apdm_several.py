"""One model protected against several subjects: two dogs under one identifier, both seen as "sks dog"."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.apdm import APDM, carried, gather, protect, subject_seed, turns_of
from apdm.protectors.l2p import taken
from apdm.protectors.material import ProtectionMaterial

INSTANCE, CLASS = "a photo of sks dog", "a photo of dog"
QUICK = APDM(outer_steps=2, inner_steps=2, learning_rate=1e-3, simulated=DreamBooth(learning_rate=1e-3))
SEED = 5


@pytest.fixture
def dogs(pattern_set) -> list[ProtectionMaterial]:
    """Two subjects of one class, with positives of their own."""
    prior = pattern_set(3, CLASS)
    return [
        ProtectionMaterial(pattern_set(first, INSTANCE), pattern_set(first + 1, INSTANCE), prior)
        for first in (1, 4)
    ]


def gathered(model: StableDiffusion, dogs: list[ProtectionMaterial], config: APDM, seed: int, step: int):
    """The gradients of one update, and its losses."""
    protected = model.copy()
    protected.network.requires_grad_(True)
    turns = turns_of(protected, model, dogs, config, seed)
    told = gather(turns, step)
    return taken(protected.weights()), told


def alone(model: StableDiffusion, dogs: list[ProtectionMaterial], config: APDM, place: int, step: int):
    """The same of one dog by itself, with what is drawn for it among the others."""
    return gathered(model, [dogs[place]], config, subject_seed(SEED, place), step)


@pytest.mark.parametrize(
    "config",
    [QUICK, replace(QUICK, inner_steps=0), replace(QUICK, anchor_weight=1.0, reference_draws=6)],
    ids=["looks ahead", "without L2P", "anchor and bank"],
)
def test_an_update_is_the_mean_of_what_each_would_have(tiny, dogs, config: APDM) -> None:
    both, told = gathered(tiny, dogs, config, SEED, 3)
    (first, told_first), (second, told_second) = (alone(tiny, dogs, config, place, 3) for place in (0, 1))
    for name, gradient in both.items():
        torch.testing.assert_close(gradient, (first[name] + second[name]) / 2, rtol=1e-4, atol=1e-7)
    assert not torch.allclose(first[name], second[name], rtol=0.1)
    expected = (told_first["protection_loss"] + told_second["protection_loss"]) / 2
    assert told["protection_loss"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("step", "place", "own_step"), [(0, 0, 0), (1, 1, 0), (2, 0, 1), (5, 1, 2)])
def test_they_take_turns(tiny, dogs, step: int, place: int, own_step: int) -> None:
    """One subject an update: the first, the second, the first again with its second look-ahead, ..."""
    found, _ = gathered(tiny, dogs, replace(QUICK, subjects_per_update=1), SEED, step)
    expected, _ = alone(tiny, dogs, QUICK, place, own_step)
    assert all(torch.equal(gradient, expected[name]) for name, gradient in found.items())


def test_each_has_draws_of_its_own_and_the_first_those_that_it_has_alone() -> None:
    assert subject_seed(SEED, 0) == SEED
    assert len({subject_seed(SEED, place) for place in range(4)}) == 4


def test_each_attack_is_carried_on_by_itself(tiny, dogs) -> None:
    """Two look-aheads in, a carried attack on one dog has not been where the other one's has."""
    config = replace(QUICK, restart_every=3)
    protected = tiny.copy()
    protected.network.requires_grad_(True)
    turns = turns_of(protected, tiny, dogs, config, SEED)
    state = carried(turns)
    for step in (0, 1):
        gather(turns, step)
    assert {"attack", "attack-1", "attack_optimizer", "attack_optimizer-1"} <= state.keys()
    assert not any(torch.equal(it, state["attack-1"][name]) for name, it in state["attack"].items())


def test_look_aheads_that_start_anew_share_the_memory_of_one(tiny, dogs) -> None:
    first, second = turns_of(tiny.copy(), tiny, dogs, QUICK, SEED)
    assert first.ahead is second.ahead is not None


def test_both_become_harder_than_their_positives(tiny, dogs, mean_error) -> None:
    """Against one alone the other stays as easy as its positives, nearly; against both neither does."""
    simulated = DreamBooth(learning_rate=1e-3)
    config = APDM(outer_steps=30, inner_steps=2, learning_rate=3e-3, train_batch_size=4, simulated=simulated)

    def margins(subjects: list[ProtectionMaterial]) -> Tensor:
        model = protect(tiny, subjects, config, 0)
        return torch.tensor(
            [mean_error(model, dog.negatives) - mean_error(model, dog.positives) for dog in dogs]
        )

    first_alone, both = margins(dogs[:1]), margins(dogs)
    assert first_alone[0] > 0.1
    assert both.min() > 0.1
    assert both[1] > first_alone[1] + 0.05
