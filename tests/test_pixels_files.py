"""Files as pictures: what is read how, what is refused, and what is noted of it."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from apdm import pixels

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def values(path: Path) -> np.ndarray:
    return np.asarray(pixels.read(path).image)


def notes(path: Path) -> tuple[str, ...]:
    return pixels.read(path).notes


def reason(path: Path) -> str:
    with pytest.raises(pixels.UnreadableImage) as caught:
        pixels.read(path)
    assert str(path) in str(caught.value)
    return caught.value.reason


def noise(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def png_of_size(width: int, height: int) -> bytes:
    """A header that announces a size, and no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_plain_rgb_is_read_unchanged_and_without_notes(tmp_path: Path) -> None:
    for suffix in (".png", ".bmp", ".tiff", ".webp"):
        path = tmp_path / f"plain{suffix}"
        Image.fromarray(noise(0, 5, 7)).save(path, lossless=True)  # webp's option; the others always are
        assert np.array_equal(values(path), noise(0, 5, 7))
        assert notes(path) == ()


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bit_gray_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    levels = np.array([[0, 257 * 100, 65535], [128, 129, 40000]], dtype=np.uint16)
    path = tmp_path / f"deep{suffix}"
    Image.fromarray(levels).save(path)
    # 128 / 257 = 0.498, 129 / 257 = 0.502, 40000 / 257 = 155.6
    assert values(path)[:, :, 0].tolist() == [[0, 100, 255], [0, 1, 156]]
    assert notes(path) == ("16-bit gray scaled to 8 bits",)


def test_16_bit_in_32_bit_integers_is_scaled_and_more_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.pgm").write_bytes(b"P5 2 1 65535\n" + struct.pack(">HH", 65535, 257))
    assert values(tmp_path / "deep.pgm").tolist() == [[[255] * 3, [1] * 3]]
    for name, level in (("high.tiff", 65536), ("low.tiff", -1)):
        Image.fromarray(np.full((2, 2), level, dtype=np.int32)).save(tmp_path / name)
        assert reason(tmp_path / name) == "integer pixels beyond 16 bits"


def test_floating_point_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 0.5, dtype=np.float32)).save(tmp_path / "float.tiff")
    assert "floating-point" in reason(tmp_path / "float.tiff")


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    # No cyan, full magenta and yellow: red.
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "print.jpg", quality=100)
    assert np.abs(values(tmp_path / "print.jpg").astype(int) - RED).max() <= 3
    assert notes(tmp_path / "print.jpg") == ("CMYK made RGB",)


def test_gray_and_palette_become_rgb(tmp_path: Path) -> None:
    Image.new("L", (2, 2), 77).save(tmp_path / "gray.png")
    assert np.all(values(tmp_path / "gray.png") == 77)
    assert values(tmp_path / "gray.png").shape == (2, 2, 3)
    palette = Image.new("P", (2, 1), 1)
    palette.putpalette([*RED, *BLUE])
    palette.save(tmp_path / "palette.png")
    assert values(tmp_path / "palette.png").tolist() == [[[*BLUE], [*BLUE]]]


def test_alpha_is_composited_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (3, 1), (*RED, 255))
    image.putpixel((1, 0), (*RED, 0))
    image.putpixel((2, 0), (*RED, 51))  # a fifth of red, four fifths of white: 255 * 4 / 5 = 204
    image.save(tmp_path / "alpha.png")
    assert values(tmp_path / "alpha.png").tolist() == [[[*RED], [*WHITE], [255, 204, 204]]]
    assert notes(tmp_path / "alpha.png") == ("transparency put on white",)


def test_transparent_palette_entry_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "palette.png", transparency=0)
    assert values(tmp_path / "palette.png").tolist() == [[[*WHITE], [*BLUE]]]


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str) -> None:
    image = Image.new("RGB", (3, 2), GREEN)
    image.putpixel((0, 0), RED)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side: the first row is the right edge
    image.save(tmp_path / f"lying{suffix}", exif=exif)
    upright = values(tmp_path / f"lying{suffix}")
    assert upright.shape == (3, 2, 3)
    assert upright[0, 1].tolist() == [*RED]
    assert upright[0, 0].tolist() == [*GREEN]
    assert notes(tmp_path / f"lying{suffix}") == ("turned as EXIF says",)


def test_upright_photos_are_not_said_to_be_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    Image.new("RGB", (3, 2), GREEN).save(tmp_path / "upright.jpg", exif=exif)
    assert notes(tmp_path / "upright.jpg") == ()


def test_senseless_exif_does_not_matter(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), RED).save(tmp_path / "odd.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    assert notes(tmp_path / "odd.jpg") == ()


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (BLUE, RED)]
    for name in ("moving.gif", "moving.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert np.all(values(tmp_path / name) == BLUE)
        assert "first of several frames" in notes(tmp_path / name)


def test_a_cameras_preview_is_no_second_frame(tmp_path: Path) -> None:
    preview = Image.new("RGB", (4, 4), RED)
    Image.new("RGB", (8, 8), BLUE).save(
        tmp_path / "camera.jpg", format="MPO", save_all=True, append_images=[preview]
    )
    assert values(tmp_path / "camera.jpg").shape == (8, 8, 3)
    assert notes(tmp_path / "camera.jpg") == ()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str) -> None:
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    Image.fromarray(noise(1, 64, 64)).save(whole)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert reason(cut)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a photograph at all")
    assert reason(tmp_path / "empty.jpg") == "empty file"
    assert reason(tmp_path / "text.jpg") == "not an image"
    assert "No such file" in reason(tmp_path / "nowhere.jpg")


def test_drawings_are_refused_before_a_program_is_started(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "drawing.eps")
    (tmp_path / "drawing.eps").rename(tmp_path / "drawing.jpg")
    assert reason(tmp_path / "drawing.jpg") == "EPS is a drawing, not a photo"


@pytest.mark.parametrize("side", [11_000, 12_500, 20_000])  # below, at and above Pillow's own limits
def test_huge_pictures_are_refused_by_their_header(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(png_of_size(side, side))
    assert reason(tmp_path / "bomb.png") == "more than 120 megapixels"


def test_the_largest_picture_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "MAX_PIXELS", 100)
    Image.new("RGB", (10, 10)).save(tmp_path / "fits.png")
    Image.new("RGB", (10, 11)).save(tmp_path / "exceeds.png")
    assert notes(tmp_path / "fits.png") == ()
    assert "megapixels" in reason(tmp_path / "exceeds.png")


def test_heic_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "phone.jpg").write_bytes(b"\0\0\0\x1cftypheic" + bytes(40))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert "apdm[heic]" in reason(tmp_path / "phone.jpg")


def test_heic_is_opened_again_after_its_reader_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x1cftypheic" + bytes(40))
    registered: list[bool] = []
    reader = SimpleNamespace(register_heif_opener=lambda: registered.append(True))
    monkeypatch.setitem(sys.modules, "pillow_heif", reader)
    assert reason(tmp_path / "phone.heic") == "not an image"
    assert registered == [True]


def test_digest_is_of_the_picture_not_of_the_file(tmp_path: Path) -> None:
    image = Image.fromarray(noise(2, 8, 12))
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.bmp")
    Image.fromarray(noise(2, 8, 12).reshape(12, 8, 3)).save(
        tmp_path / "c.png"
    )  # the same bytes, another shape
    a, b, c = (pixels.read(tmp_path / name).digest for name in ("a.png", "b.bmp", "c.png"))
    assert a == b != c


def test_the_stored_size_is_read_from_the_head(tmp_path: Path) -> None:
    Image.effect_noise((30, 20), 90).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "head.jpg").write_bytes(whole[: len(whole) - 100])
    (tmp_path / "other.png").write_text("no picture")
    assert pixels.stored_size(tmp_path / "head.jpg") == (30, 20)
    with pytest.raises(pixels.UnreadableImage):
        pixels.read(tmp_path / "head.jpg")
    with pytest.raises(pixels.UnreadableImage, match="not an image"):
        pixels.stored_size(tmp_path / "other.png")
