"""Toys as subjects: disjoint sets of files, only from seeds that may be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apdm.errors import InputError
from apdm.toybox.identity import identity
from apdm.toybox.seeds import Purpose
from apdm.toybox.subjects import VIEWS, class_renders, toy_subject
from apdm.toybox.world import portrait, render


def test_sets_are_disjoint_views_of_one_toy(tmp_path: Path) -> None:
    seed = Purpose.TUNING.first
    subject = toy_subject(tmp_path, "cat", seed, Purpose.TUNING)
    assert (len(subject.protect), len(subject.attack), len(subject.held_out)) == tuple(VIEWS.values())
    assert all(verdict.usable for verdict in subject.verdicts)  # a picture in two sets would not be
    first_attack = subject.pixels("attack", 64)[0].permute(1, 2, 0).numpy()
    expected = render(portrait(identity("cat", seed), seed, VIEWS["protect"]))
    assert np.abs((first_attack + 1) * 127.5 - expected).max() < 1e-3


def test_a_seed_of_another_purpose_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not one for reported"):
        toy_subject(tmp_path, "cat", Purpose.TUNING.first, Purpose.REPORTED)
    assert not list(tmp_path.iterdir())


def test_class_renders_are_different_toys_away_from_the_subjects() -> None:
    pictures = class_renders("dog", Purpose.REPORTED, 3)
    assert pictures.shape == (3, 64, 64, 3)
    last = Purpose.REPORTED.end - 1
    assert np.array_equal(pictures[-1], render(portrait(identity("dog", last), last, 0)))
    assert not np.array_equal(pictures[0], pictures[1])
