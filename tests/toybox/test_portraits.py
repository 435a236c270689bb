"""Views and portraits: from where a toy is seen, and on which ground."""

from __future__ import annotations

import numpy as np
import pytest

from apdm.toybox.identity import CLASS_NOUNS, identity, stream
from apdm.toybox.world import GROUNDS, facing, portrait, render, view


def test_portraits_are_the_same_for_everybody_and_in_any_order() -> None:
    toy = identity("cat", 450_003)
    forwards = [portrait(toy, 450_003, index) for index in range(8)]
    backwards = [portrait(toy, 450_003, index) for index in reversed(range(8))]
    assert forwards == backwards[::-1]


@pytest.mark.parametrize("noun", CLASS_NOUNS)
def test_a_portraits_grounds_take_turns(noun: str) -> None:
    toy = identity(noun, 450_003)
    grounds = [portrait(toy, 450_003, index).view.ground for index in range(12)]
    assert set(grounds[:6]) == set(GROUNDS)
    assert grounds[:6] == grounds[6:]


def test_portraits_of_one_toy_differ() -> None:
    toy = identity("person", 450_003)
    scenes = [portrait(toy, 450_003, index) for index in (0, 6, 12)]
    assert len({scene.view for scene in scenes}) == len({scene.toys[0].facing for scene in scenes}) == 3
    assert all(scene.toys[0].toy is toy for scene in scenes)
    one, other = (render(scene, 32).astype(int) for scene in scenes[:2])
    assert (np.abs(one - other).max(-1) > 12).mean() > 0.02  # plainly


def test_toys_do_not_share_their_views() -> None:
    firsts = [portrait(identity("dog", seed), seed, 0).view for seed in range(12)]
    assert len({place.ground for place in firsts}) > 3
    assert len({place.distance for place in firsts}) == 12


def test_people_are_seen_from_the_front_and_the_rest_from_the_side() -> None:
    for noun in CLASS_NOUNS:
        angles = np.array([facing(stream("facing", noun, n), noun) for n in range(100)])
        assert angles.min() < -0.5
        assert angles.max() > 0.5
        assert (np.abs(angles) < 0.3).any() == (noun == "person")
        assert np.abs(angles).max() < np.pi / 2


def test_a_portrait_is_nearer_and_a_crowd_farther() -> None:
    def distance(**how) -> float:
        return np.mean([view(stream("views", n), "room", "dog", **how).distance for n in range(20)]).item()

    assert distance(close=True) < 0.8 * distance() < 0.8 * distance(crowd=2) < 0.8 * distance(crowd=3)
