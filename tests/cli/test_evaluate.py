"""`apdm evaluate` as a person types it: what it takes and refuses, and several seeds of an attack."""

from __future__ import annotations

import json
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


@pytest.fixture
def seeds(photos: Path, tmp_path: Path) -> Callable[..., list[Path]]:
    """Folders of the subject's own photos and of another toy's views, as many as said of each."""

    def make(name: str, *numbers: tuple[int, int], run: Callable[..., None]) -> list[Path]:
        other = tmp_path / "other"
        if not other.exists():
            toy = ("--class_noun", "dog", "--seed", 500_002, "--views", 6)
            run("toybox", "render", *toy, "--output_dir", other)
        folders = [tmp_path / f"{name}-{seed}" for seed in range(len(numbers))]
        for folder, (own, others) in zip(folders, numbers, strict=True):
            folder.mkdir()
            for source, count in ((photos, own), (other, others)):
                for picture in sorted(source.glob("*.png"))[:count]:
                    shutil.copy(picture, folder / f"{source.name}-{picture.name}")
        return folders

    return make


def test_every_seed_of_an_attack_counts_alike(
    run: Callable[..., None], seeds: Callable[..., list[Path]], photos: Path, tmp_path: Path
) -> None:
    """Whatever the number of its pictures, and the interval is over seeds too."""
    subject = ("--subject", photos, "--class_noun", "dog", "--output_file", tmp_path / "figures.json")

    def similarity(*folders: Path) -> dict[str, float]:
        run("evaluate", *subject, "--generated", *folders)
        return json.loads((tmp_path / "figures.json").read_text())["similarity of generated"]

    near, far = seeds("drawn", (4, 0), (0, 2), run=run)
    one, other, both = similarity(near), similarity(far), similarity(near, far)
    assert both["value"] == pytest.approx((one["value"] + other["value"]) / 2, abs=1e-6)
    assert both["n"] == 6
    assert one["high"] >= both["high"] > one["low"] > other["high"] > both["low"] >= other["low"]


def test_a_report_of_several_seeds_says_so(
    run: Callable[..., None], seeds: Callable[..., list[Path]], photos: Path, tmp_path: Path
) -> None:
    protected, control = (seeds(name, (1, 2), (2, 1), run=run) for name in ("protected", "control"))
    pictures = ("--generated", *protected, "--control", *control, "--class_images", tmp_path / "other")
    subject = ("--subject", photos, "--class_noun", "dog", "--attack", "LoRA")
    run("evaluate", *subject, *pictures, "--output_dir", tmp_path / "report")
    record = json.loads((tmp_path / "report" / "result.json").read_text())
    assert record["attacks"] == ["LoRA, 2 seeds"]
    assert record["subjects"][0]["protection_rate"]["n"] == 12
    shown = tmp_path / "report" / "pictures" / "dog" / "attacked_protected"
    assert len(list(shown.iterdir())) == 6


def test_a_report_of_one_seed_says_so_too(run: Callable[..., None], photos: Path, tmp_path: Path) -> None:
    pictures = ("--generated", photos, "--control", photos, "--class_images", photos)
    subject = ("--subject", photos, "--class_noun", "dog", "--attack", "LoRA")
    run("evaluate", *subject, *pictures, "--output_dir", tmp_path / "report")
    record = json.loads((tmp_path / "report" / "result.json").read_text())
    assert record["attacks"] == ["LoRA, one seed: intervals are over its pictures alone"]


def test_pictures_of_each_seed_belong_together_in_a_report(
    run: Callable[..., None],
    refused: Callable[..., str],
    seeds: Callable[..., list[Path]],
    photos: Path,
    tmp_path: Path,
) -> None:
    """Of the second one too, and of the same number of pictures in all."""
    one, other = seeds("one", (2, 0), (1, 0), run=run), seeds("other", (2, 0), (1, 0), run=run)
    subject = ("--subject", photos, "--class_noun", "dog", "--class_images", photos)
    rest = (*subject, "--output_dir", tmp_path / "report")
    said = refused("evaluate", "--generated", *one, "--control", *reversed(other), *rest)
    assert f"--generated and --control differ in their number ({one[0]}, {other[1]}): draw" in said
    for folder, seed in ((one[1], 0), (other[1], 1)):
        (folder / "apdm.json").write_text(json.dumps({"seed": seed}))
    said = refused("evaluate", "--generated", *one, "--control", *other, *rest)
    assert f"drawn from other prompts, seeds or settings ({one[1]}, {other[1]}): draw" in said
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("generated", "control", "said"),
    [
        ((), ("b",), "--generated names no folder"),
        (("a",), (), "--control names no folder"),
        (("a", "./a"), ("b", "c"), "--generated names a twice"),
        (("a", "b"), ("c", "./c"), "--control names c twice"),
        (("a", "b"), ("c",), "--generated and --control differ in their number of folders"),
    ],
)
def test_seeds_that_would_not_count_alike_are_refused(
    generated: tuple[str, ...],
    control: tuple[str, ...],
    said: str,
    refused: Callable[..., str],
    photos: Path,
) -> None:
    """Without a report too, and before any folder is looked at."""
    rest = ("--class_images", photos, "--subject", photos, "--class_noun", "dog")
    assert said in refused("evaluate", "--generated", *generated, "--control", *control, *rest)


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
