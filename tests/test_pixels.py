"""Pictures as tensors: levels, sizes, sheets, and the way to files and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from apdm import pixels
from apdm.errors import InputError


def values(path: Path) -> np.ndarray:
    return np.asarray(pixels.read(path).image)


def noise(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_every_grey_level_survives_the_way_in_and_out() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    inside = pixels.from_uint8(levels)
    assert inside.shape == (1, 3, 16, 16)
    assert inside.dtype == torch.float32
    assert inside.min() == -1
    assert inside.max() == 1
    assert np.array_equal(pixels.to_uint8(inside), levels)


def test_channels_and_axes_keep_their_places() -> None:
    picture = noise(3, 2, 5)
    inside = pixels.from_uint8(picture[None])
    assert inside[0, 2, 1, 4].item() == pytest.approx(picture[1, 4, 2] / 127.5 - 1)
    assert np.array_equal(np.asarray(pixels.to_images(inside)[0]), picture)


def test_to_uint8_rounds_and_clamps() -> None:
    levels = torch.tensor([-500.0, 0.4, 0.6, 254.4, 254.6, 500.0])
    outside = pixels.to_uint8((levels / 127.5 - 1).expand(1, 3, 1, 6))
    assert outside[0, 0, :, 0].tolist() == [0, 0, 1, 254, 255, 255]


def test_to_unit() -> None:
    assert pixels.to_unit(torch.tensor([-1.0, 0.0, 1.0])).tolist() == [0.0, 0.5, 1.0]


def test_load_resizes_the_short_side_and_crops_the_centre(tmp_path: Path) -> None:
    picture = np.zeros((100, 240, 3), dtype=np.uint8)
    picture[:, 70:170] = 255  # the middle square alone is white
    Image.fromarray(picture).save(tmp_path / "wide.png")
    Image.fromarray(picture.transpose(1, 0, 2)).save(tmp_path / "tall.png")
    loaded = pixels.load([tmp_path / "wide.png", tmp_path / "tall.png"], 50)
    assert loaded.shape == (2, 3, 50, 50)
    assert torch.all(loaded[0, :, :, 1:-1] == 1)
    assert torch.all(loaded[1, :, 1:-1] == 1)


def test_load_keeps_order_and_leaves_fitting_pictures_alone(tmp_path: Path) -> None:
    for seed in (1, 2):
        Image.fromarray(noise(seed, 32, 32)).save(tmp_path / f"{seed}.png")
    loaded = pixels.load([tmp_path / "2.png", tmp_path / "1.png"], 32)
    assert np.array_equal(pixels.to_uint8(loaded), np.stack([noise(2, 32, 32), noise(1, 32, 32)]))


def test_load_is_bilinear(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 255], [0, 255]], dtype=np.uint8)).save(tmp_path / "edge.png")
    enlarged = pixels.to_uint8(pixels.load([tmp_path / "edge.png"], 4))
    # New centres lie at 1/4 and 3/4 between the old ones: 255 / 4 = 63.75 and 191.25.
    assert enlarged[0, 0, :, 0].tolist() == [0, 64, 191, 255]


def test_load_averages_when_it_shrinks(tmp_path: Path) -> None:
    board = np.indices((64, 64)).sum(0) % 2 * 255  # without antialiasing: black and white again
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "board.png")
    assert pixels.load([tmp_path / "board.png"], 16).abs().max() < 0.1


def test_load_names_the_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(InputError, match=r"bad\.png: not an image"):
        pixels.load([tmp_path / "bad.png"], 8)


def test_resize_agrees_with_pillow_within_a_grey_level() -> None:
    picture = 60 + noise(4, 60, 90) // 2  # Pillow also clamps between its two passes; here nothing overshoots
    ours = pixels.resize(pixels.from_uint8(picture[None]), 40)
    theirs = Image.fromarray(picture).resize((60, 40), Image.Resampling.BICUBIC)
    assert ours.shape == (1, 3, 40, 60)
    assert np.abs(pixels.to_uint8(ours)[0].astype(int) - np.asarray(theirs)).max() <= 1


def test_resize_stays_in_range() -> None:
    edge = torch.full((1, 3, 8, 8), -1.0)
    edge[..., 4:] = 1.0  # bicubic overshoots at an edge
    enlarged = pixels.resize(edge, 32)
    assert enlarged.min() == -1
    assert enlarged.max() == 1


def test_resize_as_tensorflow_1_did_by_hand() -> None:
    """Three pixels out of two lie at 0, 2/3 and 4/3 of the old ones; beyond the last there is none."""
    picture = torch.tensor([[0.0, 0.6]]).expand(1, 3, 2, 2).clone()
    assert pixels.resize_tf1(picture, 3)[0, 0] == pytest.approx(np.array([[0.0, 0.4, 0.6]] * 3))
    assert pixels.resize_tf1(picture.mT, 3)[0, 0].mT == pytest.approx(np.array([[0.0, 0.4, 0.6]] * 3))
    wide = torch.arange(6.0).expand(1, 3, 2, 6) / 10
    assert pixels.resize_tf1(wide, 2)[0, 0] == pytest.approx(np.array([[0.0, 0.3]] * 2))  # not averaged


def test_center_crop() -> None:
    numbered = torch.arange(6 * 7).view(1, 1, 6, 7).expand(1, 3, 6, 7)
    # margins (6 - 4) / 2 = 1 and (7 - 4) / 2 = 1.5, rounded to 2
    assert pixels.center_crop(numbered, 4)[0, 0].tolist() == (torch.arange(42).view(6, 7)[1:5, 2:6]).tolist()


def test_grid_places_pictures_row_by_row() -> None:
    pictures = torch.stack([torch.full((3, 2, 4), float(level)) for level in (-0.2, -0.4, -0.6)])
    sheet = pixels.grid(pictures, columns=2)
    assert sheet.shape == (1, 3, 2 + pixels.GRID_GAP + 2, 4 + pixels.GRID_GAP + 4)
    corners = sheet[0, 0, 0, 0], sheet[0, 0, 0, -1], sheet[0, 0, -1, 0], sheet[0, 0, -1, -1]
    assert [round(corner.item(), 1) for corner in corners] == [-0.2, -0.4, -0.6, 1.0]
    assert torch.all(sheet[0, :, 2 : 2 + pixels.GRID_GAP] == 1)
    assert torch.all(sheet[0, :, :, 4 : 4 + pixels.GRID_GAP] == 1)


def test_save_png_writes_what_load_reads(tmp_path: Path) -> None:
    pictures = pixels.from_uint8(np.stack([noise(seed, 16, 16) for seed in range(3)]))
    paths = pixels.save_png(pictures, tmp_path / "new" / "folder", "sample")
    assert [path.name for path in paths] == ["sample_00000.png", "sample_00001.png", "sample_00002.png"]
    assert torch.equal(pixels.load(paths, 16), pictures)
    (more,) = pixels.save_png(pictures[:1], tmp_path / "new" / "folder", "sample", first=3)
    assert more.name == "sample_00003.png"


def test_real_photos(shared_data: Path) -> None:
    paths = sorted((shared_data / "dreambooth" / "dog").glob("*.jpg"))
    loaded = pixels.load(paths, 128)
    assert loaded.shape == (5, 3, 128, 128)
    assert loaded.std() > 0.2
    assert loaded.min() >= -1
    assert loaded.max() <= 1


def test_quantising_is_saving_and_reading(tmp_path: Path) -> None:
    pictures = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    held = pixels.quantised(pictures)
    assert torch.equal(held, pixels.load(pixels.save_png(pictures, tmp_path, "held"), 8))
    assert (held - pictures).abs().max() <= 1 / 255 + 1e-6  # half a grey level of 2/255
    assert torch.equal(pixels.quantised(held), held)


def test_jpeg_is_pillows_file_read_again(tmp_path: Path) -> None:
    pictures = pixels.from_uint8(np.stack([noise(seed, 16, 24) for seed in range(2)]))
    for number, image in enumerate(pixels.to_images(pictures)):
        image.save(tmp_path / f"{number}.jpg", quality=50)
    for number, picture in enumerate(pixels.jpeg(pictures, 50)):
        assert np.array_equal(pixels.to_uint8(picture[None])[0], values(tmp_path / f"{number}.jpg"))
    assert (pixels.jpeg(pictures, 50) - pictures).abs().mean() > (
        pixels.jpeg(pictures, 95) - pictures
    ).abs().mean()


def test_the_unit_range_and_back() -> None:
    ends = torch.tensor([-1.0, 0.0, 1.0])
    assert pixels.to_unit(ends).tolist() == [0, 0.5, 1]
    assert torch.equal(pixels.from_unit(pixels.to_unit(ends)), ends)


def test_resizing_to_both_sides() -> None:
    ramp = torch.linspace(-1, 1, 8).view(1, 1, 1, 8).expand(1, 3, 6, 8)
    assert pixels.resize_to(ramp, 3, 5).shape == (1, 3, 3, 5)
