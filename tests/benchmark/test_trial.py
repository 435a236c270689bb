"""A trial on the tiny model: what is made, from what, and that the input stays."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from apdm.backbones.base import Sampling
from apdm.backbones.tiny import tiny_stable_diffusion
from apdm.benchmark.trial import Trial, TrialPictures, TrialSettings
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.apdm import APDM
from apdm.toybox.seeds import Purpose
from apdm.toybox.subjects import toy_subject
from apdm.watch import silent

ATTACK = DreamBooth(learning_rate=1e-3, max_train_steps=2)
SETTINGS = TrialSettings(
    protection=APDM(learning_rate=1e-3, outer_steps=1, inner_steps=1, num_class_images=4, simulated=ATTACK),
    attack=ATTACK,
    sampling=Sampling(num_inference_steps=2),
    images_per_prompt=2,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrialPictures, bool, list[str]]:
    folder = tmp_path_factory.mktemp("subjects")
    first = Purpose.REPORTED.first
    subject, other = (toy_subject(folder / str(s), "dog", first + s, Purpose.REPORTED) for s in (0, 1))
    backbone = tiny_stable_diffusion()
    before = [weight.clone() for weight in backbone.network.parameters()]
    tasks: list[str] = []
    _, pictures = Trial(backbone, SETTINGS, lambda task, *_: tasks.append(task)).run(subject, other)
    kept = all(torch.equal(a, b) for a, b in zip(before, backbone.network.parameters(), strict=True))
    return pictures, kept, tasks


def test_every_set_is_made_and_the_model_is_untouched(made: tuple[TrialPictures, bool, list[str]]) -> None:
    pictures, kept, _ = made
    assert kept
    assert len(pictures.class_unprotected) == len(pictures.class_protected) == 2 * 2
    assert len(pictures.class_images_protected) == 4
    assert [len(run) for run in pictures.attacked_protected.runs] == [4, 4]
    assert not torch.equal(pictures.class_unprotected, pictures.class_protected)


def test_the_control_is_the_same_attack_on_the_other_model(
    made: tuple[TrialPictures, bool, list[str]],
) -> None:
    pictures, _, tasks = made
    attacks = dict.fromkeys(task for task in tasks if task.startswith("attack"))
    assert list(attacks) == [
        f"attack {which} dog-{450000 + toy} {seed}"
        for which in ("unprotected", "protected")
        for toy in (0, 1)
        for seed in (0, 1)
    ]
    assert not torch.equal(*pictures.attacked_unprotected.runs)


def test_saved_sets_are_those_a_report_shows(
    made: tuple[TrialPictures, bool, list[str]], tmp_path: Path
) -> None:
    made[0].save(tmp_path)
    assert {folder.name: len(list(folder.glob("*.png"))) for folder in tmp_path.iterdir()} == dict.fromkeys(
        (
            "class_unprotected",
            "class_protected",
            "attacked_unprotected",
            "attacked_protected",
            "other_attacked_unprotected",
            "other_attacked_protected",
        ),
        4,
    )


def test_a_trial_is_reproducible(made: tuple[TrialPictures, bool, list[str]], tmp_path: Path) -> None:
    first = Purpose.REPORTED.first
    subject, other = (toy_subject(tmp_path / str(s), "dog", first + s, Purpose.REPORTED) for s in (0, 1))
    _, again = Trial(tiny_stable_diffusion(), SETTINGS, silent).run(subject, other)
    assert torch.equal(again.attacked_protected.runs[1], made[0].attacked_protected.runs[1])
    assert torch.equal(again.other_attacked_protected.shown, made[0].other_attacked_protected.shown)
