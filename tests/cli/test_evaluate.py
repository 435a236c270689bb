"""`apdm evaluate` as a person types it: which photos and pictures it does not take."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def alone(photos: Path, tmp_path: Path) -> Path:
    """A folder with one photo."""
    folder = tmp_path / "alone"
    folder.mkdir()
    shutil.copy(min(photos.glob("*.png")), folder)
    return folder


def test_a_report_needs_a_control(refused: Callable[..., str], photos: Path, tmp_path: Path) -> None:
    rest = ("--subject", photos, "--class_noun", "dog", "--output_dir", tmp_path / "report")
    assert "needs --control" in refused("evaluate", "--generated", photos, *rest)
    assert not (tmp_path / "report").exists()


def test_a_control_needs_class_images(refused: Callable[..., str], photos: Path) -> None:
    rest = ("--subject", photos, "--class_noun", "dog", "--control", photos)
    assert "--control needs --class_images" in refused("evaluate", "--generated", photos, *rest)


def test_one_photo_in_all_sets_is_refused(refused: Callable[..., str], photos: Path, alone: Path) -> None:
    rest = ("--subject", alone, "--class_noun", "dog", "--same_images", "--generated", photos)
    assert "one photo" in refused("evaluate", *rest)


def test_sets_that_differ_in_number_make_no_report(
    refused: Callable[..., str], photos: Path, alone: Path, tmp_path: Path
) -> None:
    subject = ("--subject", photos, "--class_noun", "dog")
    pictures = ("--generated", photos, "--control", alone, "--class_images", photos)
    said = refused("evaluate", *subject, *pictures, "--output_dir", tmp_path / "report")
    assert "differ in their number" in said
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--resolution", "0"), "resolution is 0: give 1"),
        (("--judge", "nobody"), "there is no judge 'nobody'"),
        (("--output_file", "."), "--output_file '.' is a folder"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    arguments: tuple[str, ...], said: str, photos: Path, refused: Callable[..., str]
) -> None:
    subject = ("--subject", photos, "--class_noun", "dog")
    assert said in refused("evaluate", *subject, "--generated", photos, *arguments)
