"""Pictures in and out: files, 8 bits, [0, 1], [-1, 1] and resizing meet here and nowhere else.

Inside the program a picture is `Pixels`, float32 RGB in [-1, 1]. Colour profiles are ignored, as all
training scripts of the field do.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import interpolate, pad

from apdm.errors import InputError
from apdm.types import Pixels

# Our choice: a 108-megapixel telephone passes, and the largest picture takes half a gigabyte in Pillow.
MAX_PIXELS = 120_000_000
DRAWINGS = frozenset({"EPS", "WMF"})  # no photos; Pillow runs Ghostscript, a program, to draw an EPS
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
SIXTEEN_BITS = 65535
GRID_GAP = 2  # white pixels between the pictures of a grid


class UnreadableImage(InputError):
    """A file that gives no picture. `reason` says why, without the path."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}", fix="replace the file or take it out")
        self.reason = reason


@dataclass(frozen=True)
class Picture:
    """An upright 8-bit RGB image, and what had to be done to the file's contents to get it."""

    image: Image.Image
    notes: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of size and pixels: equal for equal pictures, however they are stored."""
        return sha256(repr(self.image.size).encode() + self.image.tobytes()).hexdigest()


def read(path: Path) -> Picture:
    """The picture in `path`: any photo format of Pillow, and HEIC where its reader is installed.

    Turned as EXIF says; transparency put on white; gray, palette and CMYK made RGB; 16-bit gray
    scaled so that 65535 becomes 255; of several frames the first. Raises `UnreadableImage` for
    everything else, and for more than `MAX_PIXELS` pixels without decoding them.
    """
    try:
        if path.stat().st_size == 0:
            raise UnreadableImage(path, "empty file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's: whatever matters here becomes a note or an error
            with _open(path) as image:
                return _upright_rgb(image, path)
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(path, "not an image") from None
    except Image.DecompressionBombError:
        raise _too_large(path) from None
    except Exception as error:  # a damaged file can make a decoder raise anything
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadableImage(path, f"cannot be read ({reason})") from error


def stored_size(path: Path) -> tuple[int, int]:
    """Width and height as stored, not turned, from the file's head alone. Raises `UnreadableImage`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _open(path) as image:
                return image.size
    except UnreadableImage:
        raise
    except Exception as error:
        raise UnreadableImage(path, "not an image") from error


def _open(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except UnidentifiedImageError:
        with path.open("rb") as file:
            head = file.read(12)
        if head[4:] not in [b"ftyp" + brand for brand in HEIF_BRANDS]:
            raise
    try:
        from pillow_heif import register_heif_opener  # pyright: ignore[reportMissingImports, reportUnknownVariableType]
    except ImportError:
        raise UnreadableImage(path, "HEIC needs its reader: pip install 'apdm[heic]'") from None
    register_heif_opener()
    return Image.open(path)


def _upright_rgb(image: Image.Image, path: Path) -> Picture:
    if image.format in DRAWINGS:
        raise UnreadableImage(path, f"{image.format} is a drawing, not a photo")
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(path)
    notes: list[str] = []
    # The further frames of MPO, a camera's JPEG, are previews and depth maps.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        notes.append("first of several frames")
    if image.getexif().get(ExifTags.Base.Orientation) in range(2, 9):
        notes.append("turned as EXIF says")
    rgb, note = _rgb(ImageOps.exif_transpose(image), path)
    return Picture(rgb, (*notes, note) if note else tuple(notes))


def _rgb(image: Image.Image, path: Path) -> tuple[Image.Image, str]:
    """`image` as 8-bit RGB, and a note on how, empty where there was nothing to do."""
    if image.mode == "F":
        raise UnreadableImage(path, "floating-point pixels have no agreed range")
    if image.mode.startswith("I"):
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > SIXTEEN_BITS:
            raise UnreadableImage(path, "integer pixels beyond 16 bits")
        gray = np.rint(levels / (SIXTEEN_BITS // 255)).astype(np.uint8)
        return Image.fromarray(gray).convert("RGB"), "16-bit gray scaled to 8 bits"
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"), "transparency put on white"
    if image.mode != "RGB":
        return image.convert("RGB"), f"{image.mode} made RGB"
    return image, ""


def _too_large(path: Path) -> UnreadableImage:
    return UnreadableImage(path, f"more than {MAX_PIXELS // 10**6} megapixels")


def load(paths: Sequence[Path], size: int) -> Pixels:
    """The pictures in `paths`, in that order: short side resized to `size`, then centre-cropped square.

    Bilinear with antialiasing in 8 bits, as the published code prepares its paired images (its
    subject images stay uncropped, which a batch cannot hold). Raises `UnreadableImage`.
    """
    return torch.cat([from_image(_square(read(path).image, size)) for path in paths])


def _square(image: Image.Image, size: int) -> Image.Image:
    width, height = _short_side(image.width, image.height, size)
    left, top = _margin(width, size), _margin(height, size)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))


def _short_side(width: int, height: int, size: int) -> tuple[int, int]:
    """Both sides after the shorter one became `size`; the longer one is rounded down."""
    short = min(width, height)
    return size * width // short, size * height // short


def _margin(side: int, size: int) -> int:
    return round((side - size) / 2)


def from_image(image: Image.Image) -> Pixels:
    """An 8-bit RGB image as a batch of one [1 3 h w]."""
    return from_uint8(np.asarray(image)[None])


def from_uint8(pictures: NDArray[np.uint8]) -> Pixels:
    """[n h w 3] in 0..255 -> [n 3 h w] in [-1, 1]."""
    return torch.tensor(pictures).permute(0, 3, 1, 2).float().contiguous() / 127.5 - 1


def to_uint8(pixels: Pixels) -> NDArray[np.uint8]:
    """[n 3 h w] in [-1, 1] -> [n h w 3] in 0..255, rounded; values beyond the range are clamped."""
    levels = (to_unit(pixels.detach().float().cpu()) * 255).round().clamp(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def quantised(pixels: Pixels) -> Pixels:
    """`pixels` as 8 bits hold them, which moves each value by half a grey level at most."""
    return from_uint8(to_uint8(pixels)).to(pixels.device)


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    """`pixels` after a JPEG file of `quality` 1 to 95, with Pillow's chroma subsampling (4:2:0)."""
    compressed = []
    for image in to_images(pixels):
        with io.BytesIO() as file:
            image.save(file, format="JPEG", quality=quality)
            with Image.open(file) as read_back:
                compressed.append(from_image(read_back))
    return torch.cat(compressed).to(pixels.device)


def to_unit(pixels: Pixels) -> Float[Tensor, "b 3 h w"]:
    """[-1, 1] -> [0, 1]."""
    return (pixels + 1) / 2


def from_unit(pictures: Float[Tensor, "b 3 h w"]) -> Pixels:
    """[0, 1] -> [-1, 1]."""
    return pictures * 2 - 1


def to_images(pixels: Pixels) -> list[Image.Image]:
    """One 8-bit RGB image for each picture of the batch."""
    return [Image.fromarray(picture) for picture in to_uint8(pixels)]


def resize(pixels: Pixels, size: int) -> Pixels:
    """Short side to `size`: bicubic with antialiasing, as metrics preprocess; clamped to [-1, 1]."""
    width, height = _short_side(pixels.shape[3], pixels.shape[2], size)
    return resize_to(pixels, height, width)


def resize_to(pixels: Pixels, height: int, width: int) -> Pixels:
    """Both sides as given: bicubic with antialiasing; clamped to [-1, 1]."""
    return interpolate(pixels, (height, width), mode="bicubic", antialias=True).clamp(-1, 1)


def resize_tf1(pixels: Pixels, side: int) -> Pixels:
    """To `side` x `side`, bilinear without antialiasing, new pixel i at i * old / `side` of the old ones.

    So TensorFlow 1 resized by default, and FID's Inception saw its pictures.
    """
    rows, columns = (_between(old, side, pixels) for old in pixels.shape[2:])
    low, high, share = rows
    tall = pixels[:, :, low] + (pixels[:, :, high] - pixels[:, :, low]) * share[:, None]
    low, high, share = columns
    return tall[..., low] + (tall[..., high] - tall[..., low]) * share


def _between(old: int, new: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each of `new` places its two neighbours among `old`, and how far it lies on the way between."""
    place = torch.arange(new, device=like.device, dtype=torch.float64) * old / new
    low = place.long()
    return low, (low + 1).clamp(max=old - 1), (place - low).to(like.dtype)


def center_crop(pixels: Pixels, size: int) -> Pixels:
    """The middle `size` x `size` pixels; both sides must have as many."""
    top, left = _margin(pixels.shape[2], size), _margin(pixels.shape[3], size)
    return pixels[:, :, top : top + size, left : left + size]


def grid(pixels: Pixels, columns: int) -> Pixels:
    """All pictures on one [1 3 H W], row by row, white between them and in cells left over."""
    rows = math.ceil(len(pixels) / columns)
    cells = pad(pixels, (0, GRID_GAP, 0, GRID_GAP, 0, 0, 0, rows * columns - len(pixels)), value=1.0)
    _, channels, height, width = cells.shape
    table = cells.view(rows, columns, channels, height, width).permute(2, 0, 3, 1, 4)
    return table.reshape(1, channels, rows * height, columns * width)[:, :, :-GRID_GAP, :-GRID_GAP]


def save_png(pixels: Pixels, folder: Path, stem: str, first: int = 0) -> tuple[Path, ...]:
    """Writes `folder`/`stem`_00000.png, ..., one for each picture, counted from `first`; sorted by name
    they keep their order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / f"{stem}_{first + number:05d}.png" for number in range(len(pixels)))
    for path, image in zip(paths, to_images(pixels), strict=True):
        image.save(path)
    return paths
