"""Judges are found by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from apdm import assets
from apdm.errors import InputError
from apdm.metrics import inception
from apdm.metrics.clip import ClipExtractor
from apdm.metrics.dino import DinoExtractor
from apdm.metrics.efficientnet import EfficientNetExtractor
from apdm.metrics.identity import IdentityExtractor
from apdm.metrics.judges import CLIP_OF_TOYS, EFFICIENTNET, INCEPTION, TOYBOX, check_name, judge


def test_the_toybox_judge_is_a_shipped_network_under_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save_vit: Callable[..., Path]
) -> None:
    assets.write_sums(save_vit(tmp_path / assets.TOYBOX_IDENTITY.name, 32, 16))
    monkeypatch.setattr(assets, "WEIGHTS", tmp_path)
    found = judge(TOYBOX)
    assert isinstance(found, IdentityExtractor)
    assert found.name == TOYBOX


def test_the_clip_of_toys_is_a_shipped_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip_folder: Path
) -> None:
    shutil.copytree(clip_folder, tmp_path / assets.TOYBOX_CLIP.name)
    assets.write_sums(tmp_path / assets.TOYBOX_CLIP.name)
    monkeypatch.setattr(assets, "WEIGHTS", tmp_path)
    check_name(CLIP_OF_TOYS)
    found = judge(CLIP_OF_TOYS)
    assert isinstance(found, ClipExtractor)
    assert found.name == CLIP_OF_TOYS


def test_the_offline_judge_of_photographs() -> None:
    found = judge(EFFICIENTNET)
    assert isinstance(found, EfficientNetExtractor)
    assert found.name == EFFICIENTNET


def test_any_other_name_is_a_vit(tmp_path: Path, save_vit: Callable[..., Path]) -> None:
    found = judge(str(save_vit(tmp_path / "my-vit", 32, 16)))
    assert isinstance(found, DinoExtractor)
    assert found.name == "my-vit"


def test_inception_is_named_by_itself_or_by_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(inception, "InceptionExtractor", asked.append)
    judge(INCEPTION)
    judge("weights/mine.pth")
    assert asked == [inception.PUBLISHED, "weights/mine.pth"]


def test_a_judge_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="no readable ViT at"):
        judge("./nobody")
