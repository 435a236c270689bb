"""Figures of made-up pictures whose similarities are known."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from apdm.benchmark.measure import (
    brisque_figure,
    own_photos,
    per_run,
    real,
    recorded,
    scored,
    strength_and_rate,
    subject_cells,
)
from apdm.benchmark.record import Figure
from apdm.benchmark.trial import Attacked, TrialPictures
from apdm.direction import Direction
from apdm.metrics.base import Interval, Score
from apdm.metrics.statistics import (
    attack_strength,
    hierarchical_bootstrap,
    protection_rate,
    strength_ratio,
)
from apdm.subject import Subject
from apdm.toybox.seeds import Purpose
from apdm.toybox.subjects import toy_subject
from apdm.types import Pixels


class FirstPixel:
    """A judge that reads an angle off a picture's first pixel: cosines are then known exactly."""

    name, fingerprint, dim = "first-pixel", "0" * 64, 2

    def __call__(self, pixels: Pixels) -> Tensor:
        angle = pixels[:, 0, 0, 0].double() * torch.pi / 2
        return torch.stack([angle.cos(), angle.sin()], dim=1)


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    return toy_subject(tmp_path / "dog", "dog", Purpose.REPORTED.first, Purpose.REPORTED)


def pictures(level: float, count: int = 4) -> Pixels:
    return torch.full((count, 3, 64, 64), level)


def test_cells_hold_one_row_of_cosines_for_each_run(subject: Subject) -> None:
    judge = FirstPixel()
    references = subject.pixels("held_out", 64)
    cell = per_run(judge, [pictures(0.0, 3), pictures(1.0, 2)], subject, 64)
    assert [len(row) for row in cell[0]] == [3, 2]
    expected = judge(references)[:, 0].mean()  # the cosine to angle 0 is the first component
    assert cell[0][0] == pytest.approx([float(expected)] * 3)


def test_own_photos_are_those_not_held_out(subject: Subject) -> None:
    assert len(own_photos(subject, 64)) == len(subject.protect) + len(subject.attack) == 8


def test_a_photo_is_not_compared_with_itself_where_all_sets_are_the_same(subject: Subject) -> None:
    same = dataclasses.replace(subject, protect=subject.held_out, attack=subject.held_out)
    features = FirstPixel()(subject.pixels("held_out", 64))
    others = [[features[i] @ features[j] for j in range(8) if j != i] for i in range(8)]
    assert real(FirstPixel(), same, 64)[0][0] == pytest.approx([float(sum(row)) / 7 for row in others])


def test_strength_and_rate_from_a_trials_pictures(subject: Subject) -> None:
    likeness = {"control": 0.8, "protected": 0.2}
    judge = FirstPixel()
    trial = TrialPictures(
        class_unprotected=pictures(-0.5),
        class_protected=pictures(-0.5),
        class_images_unprotected=pictures(-0.5),
        class_images_protected=pictures(-0.5),
        attacked_unprotected=Attacked((pictures(likeness["control"]),)),
        attacked_protected=Attacked((pictures(likeness["protected"]),)),
        other_attacked_unprotected=Attacked((pictures(0.0),)),
        other_attacked_protected=Attacked((pictures(0.0),)),
        positives=torch.zeros(4, 3, 8, 8),
        seconds={},
    )
    cells = subject_cells(trial, subject, judge, 64)
    s = {key: sum(float(row.mean()) for row in cell[0]) / len(cell[0]) for key, cell in cells.items()}
    gained = s["unprotected"] - s["class"]
    strength = hierarchical_bootstrap(attack_strength, cells, seed=0)
    rate = hierarchical_bootstrap(protection_rate, cells, seed=0)
    assert [it.n for it in strength_and_rate(cells, seed=0)] == [4, 8]
    assert strength.value == pytest.approx(gained / (s["real"] - s["class"]))
    assert rate.value == pytest.approx((s["unprotected"] - s["protected"]) / gained)


def test_the_other_subjects_ratio_is_one_when_nothing_changed() -> None:
    row = [[torch.tensor([0.5, 0.7]).numpy()]]
    cells = {"unprotected": row, "protected": row, "class": [[torch.tensor([0.1]).numpy()]]}
    assert hierarchical_bootstrap(strength_ratio, cells, seed=0).value == pytest.approx(1.0)


def test_a_figure_keeps_its_n_and_judge() -> None:
    figure = recorded(Interval(0.5, 0.4, 0.6), 32, Direction.REFERENCE, FirstPixel())
    assert (figure.value, figure.low, figure.high, figure.n) == (0.5, 0.4, 0.6, 32)
    assert (figure.extractor, figure.fingerprint) == (FirstPixel().name, FirstPixel().fingerprint)
    derived = recorded(Interval(0.5, 0.4, 0.6), 32, Direction.REFERENCE)
    assert (derived.extractor, derived.fingerprint) == (None, None)


def test_a_score_is_recorded_with_all_it_says() -> None:
    about = {"metric": "BRISQUE", "extractor": "svm", "fingerprint": "0f", "excluded": 2}
    score = Score(0.12345678, 0.1, 0.2, n=6, direction=Direction.LOWER_PRESERVES, **about)
    assert scored(score) == Figure(0.123457, 0.1, 0.2, 6, "svm", Direction.LOWER_PRESERVES, "0f", 2)


def test_brisque_counts_flat_pictures_apart() -> None:
    noisy = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = brisque_figure(torch.cat([noisy, torch.zeros(2, 3, 32, 32)]), 0, Direction.LOWER_PRESERVES)
    assert (found.n, found.excluded, found.direction) == (3, 2, Direction.LOWER_PRESERVES)
    assert found.fingerprint
