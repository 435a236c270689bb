"""Pictures keep their pixels where they are small, and the page its size where they are not."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from apdm.benchmark.record import PICTURE_SETS
from apdm.errors import InputError
from apdm.report.pictures import EMBEDDED_BYTES, data_uri, find_pictures, groups, is_person, numbers, veil


def noise(side: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def opened(uri: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(uri.split(",", 1)[1])))


def test_a_toy_picture_keeps_every_pixel_and_nothing_else(tmp_path: Path) -> None:
    note = PngInfo()
    note.add_text("place", "at home")
    noise(64).save(tmp_path / "toy.png", pnginfo=note)
    back = opened(data_uri(tmp_path / "toy.png"))
    assert np.array_equal(np.asarray(back), np.asarray(noise(64)))
    assert back.info == {}


@pytest.mark.parametrize("side", [128, 512])
def test_the_worst_picture_stays_within_its_share_of_the_page(side: int, tmp_path: Path) -> None:
    noise(side).save(tmp_path / "noise.png")
    uri = data_uri(tmp_path / "noise.png")
    assert max(opened(uri).size) == min(side, 256)
    assert len(uri) <= EMBEDDED_BYTES * 4 / 3 + 30
    assert 100 * len(uri) < 5e6


def test_a_photograph_that_fits_its_share_stays_good(tmp_path: Path) -> None:
    wave = 128 + 100 * np.sin(np.arange(256) / 9)
    photo = np.stack([np.add.outer(wave, wave) / 2] * 3, axis=-1).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    shown = np.asarray(opened(data_uri(tmp_path / "photo.png"))).astype(float)
    assert np.abs(shown - photo).mean() < 1  # grey levels; the lowest quality is off by more than 3


def test_every_set_is_in_exactly_one_group_and_attacks_stand_beside_their_control() -> None:
    sets = [column.picture_set for group in groups("dog") for column in group.columns]
    assert sets == list(PICTURE_SETS)


def test_rows_are_all_numbers_of_a_group_in_order(tmp_path: Path) -> None:
    for name in ("photos/01", "photos/00", "attacked_protected/02", "class_protected/07"):
        path = tmp_path / "pictures" / "rex" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(4).save(path)
    pictures = find_pictures(tmp_path, "rex")
    assert [numbers(pictures, group) for group in groups("dog")] == [["00", "01", "02"], ["07"], []]


def test_a_subject_without_pictures_and_a_broken_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="rex has no pictures"):
        find_pictures(tmp_path, "rex")
    noise(64).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:900])
    with pytest.raises(InputError, match=r"cut\.png cannot be read"):
        data_uri(tmp_path / "cut.png")


@pytest.mark.parametrize(
    ("noun", "person"),
    [("person", True), ("Old Woman", True), ("school-girls", True), ("dog", False), ("manatee", False)],
)
def test_a_person_is_told_by_a_word(noun: str, person: bool) -> None:
    assert is_person(noun) == person


def test_a_veil_leaves_no_features() -> None:
    """Stripes of a tenth of the side, finer than any face's outline, are gone; the mean stays."""
    stripes = np.zeros((200, 200, 3), dtype=np.uint8)
    stripes[(np.arange(200) // 10) % 2 == 0] = 255
    left = np.asarray(veil(Image.fromarray(stripes)))[50:150, 50:150].astype(float)
    assert np.ptp(left) < 10
    assert left.mean() == pytest.approx(127.5, abs=3)
