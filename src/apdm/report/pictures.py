"""The pictures of a run: which belong side by side, and how they travel inside the page."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageFilter, UnidentifiedImageError

from apdm.benchmark.record import PICTURE_FOLDER, PICTURE_SETS
from apdm.errors import InputError

SMALL = 128  # pixels a side up to which a picture is kept exactly and enlarged without smoothing
EMBEDDED_SIDE = 256  # larger pictures are shown at this size
EMBEDDED_BYTES = 36_000  # a picture; in base64, 100 of them stay under 5 MB
QUALITIES = (90, 80, 65, 45, 25, 10)  # JPEG's, tried in turn

# Whose pictures a page shows blurred unless it is asked not to. The whole picture: a detector misses faces.
PEOPLE = {
    *("person", "persons", "people", "human", "humans", "face", "faces", "portrait", "selfie", "celebrity"),
    *("man", "men", "woman", "women", "lady", "ladies", "guy", "guys", "actor", "actress", "bride", "groom"),
    *("boy", "boys", "girl", "girls", "child", "children", "kid", "kids", "baby", "babies", "toddler"),
    *("teenager", "mother", "father", "grandmother", "grandfather", "brother", "sister", "son", "daughter"),
}
VEIL = 10  # the blur's deviation is the side over this; our choice: posture is left, features are not


@dataclass(frozen=True)
class Column:
    """One picture set under its heading; `tone` colours it as the figures' dots are coloured."""

    picture_set: str
    heading: str
    tone: str


@dataclass(frozen=True)
class Group:
    """Columns that only make sense beside each other."""

    heading: str
    columns: tuple[Column, ...]


def groups(class_noun: str) -> tuple[Group, ...]:
    """The comparison everybody looks for: the attack, the class prompt, another subject."""
    return (
        Group(
            "The subject",
            (
                Column("photos", "photos", "real"),
                Column("attacked_unprotected", "attacked, unprotected", "unprotected"),
                Column("attacked_protected", "attacked, protected", "protected"),
            ),
        ),
        Group(
            f"Class prompt, “{class_noun}”",
            (
                Column("class_unprotected", "unprotected model", "unprotected"),
                Column("class_protected", "protected model", "protected"),
            ),
        ),
        Group(
            f"Another {class_noun}, same identifier",
            (
                Column("other_photos", "photos", "real"),
                Column("other_attacked_unprotected", "attacked, unprotected", "unprotected"),
                Column("other_attacked_protected", "attacked, protected", "protected"),
            ),
        ),
    )


def find_pictures(folder: Path, subject: str) -> dict[str, dict[str, Path]]:
    """All pictures of `subject`: set -> number as the file has it -> path, in order.

    Raises `InputError` where there is none at all.
    """
    home = folder / PICTURE_FOLDER / subject
    found = {name: {path.stem: path for path in sorted((home / name).glob("*.png"))} for name in PICTURE_SETS}
    if not any(found.values()):
        sets = ", ".join(PICTURE_SETS)
        raise InputError(f"{home} has no pictures", fix=f"keep them as <set>/picture_NNNNN.png, sets {sets}")
    return found


def numbers(pictures: Mapping[str, Mapping[str, Path]], group: Group) -> list[str]:
    """The rows of a group: every number that one of its sets has."""
    return sorted({number for column in group.columns for number in pictures[column.picture_set]})


def read_picture(path: Path) -> Image.Image:
    """RGB pixels. Raises `InputError` for a file that is not a whole picture."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(
            f"{path} cannot be read ({error})", fix="remove it or make the pictures again"
        ) from error


def is_person(class_noun: str) -> bool:
    """Whether a word of the noun says so: "person", "old-woman"."""
    return not PEOPLE.isdisjoint(re.findall(r"[a-z]+", class_noun.lower()))


def veil(image: Image.Image) -> Image.Image:
    """The picture so blurred that nobody is to be recognised."""
    return image.filter(ImageFilter.GaussianBlur(max(image.size) / VEIL))


def data_uri(path: Path, veiled: bool = False) -> str:
    """The picture as text for a page; its pixels only, without whatever else the file carries."""
    image = read_picture(path)
    if veiled:
        image = veil(image)
    if max(image.size) <= SMALL:
        encoded = _encoded(image, "PNG", optimize=True)
        if len(encoded) <= EMBEDDED_BYTES:
            return _uri("png", encoded)
    image.thumbnail((EMBEDDED_SIDE, EMBEDDED_SIDE), Image.Resampling.LANCZOS)
    encoded = b""
    for quality in QUALITIES:
        encoded = _encoded(image, "JPEG", quality=quality, optimize=True)
        if len(encoded) <= EMBEDDED_BYTES:
            break
    return _uri("jpeg", encoded)


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _uri(kind: str, encoded: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode('ascii')}"
