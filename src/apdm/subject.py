"""Who or what is protected: photos in three sets, a class noun, an identifier."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from apdm import pixels, prompts
from apdm.errors import InputError
from apdm.types import Pixels

SetName = Literal["protect", "attack", "held_out"]
SET_NAMES: tuple[SetName, ...] = get_args(SetName)
Sets = dict[SetName, tuple[Path, ...]]

# Our choice: the side of the Toybox's pictures, and so of the smallest model's.
MIN_SIDE = 64
SIDECARS = frozenset({".txt", ".json", ".jsonl", ".md"})


@dataclass(frozen=True)
class Verdict:
    """What became of one file.

    `note`: why it is not usable, or what was done to its contents; may be empty. `sha256` is the
    file's and `digest` the decoded picture's; `width` and `height` are in pixels after turning. They
    are empty and 0 where there is no picture.
    """

    path: Path
    usable: bool
    note: str
    sha256: str = ""
    digest: str = ""
    width: int = 0
    height: int = 0

    @property
    def sidecar(self) -> bool:
        """Whether it stands beside pictures by custom, such as a caption: nothing to be told about."""
        return _is_sidecar(self.path)


def inspect(path: Path) -> Verdict:
    """Decodes one file and judges it; raises nothing for a bad one."""
    if _is_sidecar(path):
        return Verdict(path, False, "not an image (sidecar)")
    try:
        picture = pixels.read(path)
    except pixels.UnreadableImage as error:
        return Verdict(path, False, error.reason)
    width, height = picture.image.size
    usable = min(width, height) >= MIN_SIDE
    note = "; ".join(picture.notes) if usable else f"shorter side below {MIN_SIDE} pixels"
    return Verdict(path, usable, note, _sha256(path), picture.digest, width, height)


@dataclass(frozen=True)
class Subject:
    """One subject. `protect` are the photos that the protector sees, `attack` those that the attacker
    trains on, `held_out` those that only the measurement sees.

    The prompts follow from `identifier` and `class_noun` unless given. `verdicts` tells what became
    of every file looked at. Raises `InputError` for a noun, identifier or prompt that
    `prompts.checked` refuses.
    """

    name: str
    class_noun: str
    protect: tuple[Path, ...]
    attack: tuple[Path, ...]
    held_out: tuple[Path, ...]
    identifier: str = prompts.IDENTIFIER
    given_instance_prompt: str | None = None
    given_class_prompt: str | None = None
    verdicts: tuple[Verdict, ...] = ()

    def __post_init__(self) -> None:
        _ = self.phrase, self.instance_prompt, self.class_prompt  # now rather than after a model is loaded

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        class_noun: str,
        identifier: str = prompts.IDENTIFIER,
        *,
        name: str | None = None,
        instance_prompt: str | None = None,
        class_prompt: str | None = None,
        same_images: bool = False,
    ) -> Subject:
        """The subject whose photos lie in `folder`; `name` is the folder's unless given.

        Subfolders protect/, attack/ and held_out/ are the three sets, if there are any. Otherwise
        the photos directly in `folder`, sorted by name, go to the three in turn (first to protect,
        second to attack, third to held_out, fourth to protect ...): no photo is in two sets, and
        adding one that sorts last moves no other. `same_images` is the protocol of the APDM paper
        instead: every photo is protected, attacked with and compared with.

        Photos that cannot be used are set aside with a verdict; so is one whose picture came before,
        pixel for pixel, in whichever set (a resized copy is not recognised). Hidden files are not
        looked at. Raises `InputError` when a set stays empty.
        """
        given = _given_sets(folder)
        if given and same_images:
            raise InputError(
                f"{folder} has its photos divided, and the same images are wanted in all sets",
                fix="put the photos directly into the folder, or do without same images",
            )
        sets, verdicts = _from_subfolders(given) if given else _divided(folder, same_images)
        return cls(
            name=name or folder.resolve().name,
            class_noun=class_noun,
            protect=sets["protect"],
            attack=sets["attack"],
            held_out=sets["held_out"],
            identifier=identifier,
            given_instance_prompt=instance_prompt,
            given_class_prompt=class_prompt,
            verdicts=verdicts,
        )

    @property
    def phrase(self) -> str:
        """What fills a prompt template: "sks dog"."""
        return prompts.subject_phrase(self.identifier, self.class_noun)

    @property
    def instance_prompt(self) -> str:
        if self.given_instance_prompt is not None:
            return prompts.checked(self.given_instance_prompt, "instance prompt")
        return prompts.instance_prompt(self.identifier, self.class_noun)

    @property
    def class_prompt(self) -> str:
        if self.given_class_prompt is not None:
            return prompts.checked(self.given_class_prompt, "class prompt")
        return prompts.class_prompt(self.class_noun)

    def paths(self, images: SetName) -> tuple[Path, ...]:
        return {"protect": self.protect, "attack": self.attack, "held_out": self.held_out}[images]

    def pixels(self, images: SetName, size: int) -> Pixels:
        """The photos of one set, `size` pixels a side, in the order of `paths`."""
        return pixels.load(self.paths(images), size)

    def hashes(self, images: SetName) -> tuple[str, ...]:
        """SHA-256 of the files of one set, in the order of `paths`."""
        return tuple(_sha256(path) for path in self.paths(images))


def _given_sets(folder: Path) -> dict[SetName, Path]:
    """The subfolders that are named like sets: all three, or none."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", fix="give the folder that holds the photos")
    found: dict[SetName, Path] = {name: folder / name for name in SET_NAMES if (folder / name).is_dir()}
    missing = [name for name in SET_NAMES if name not in found]
    if found and missing:
        raise InputError(
            f"{folder} has a subfolder {'/ and '.join(found)}/ but no {'/ and '.join(missing)}/",
            fix="make all three, or put the photos directly into the folder",
        )
    return found


def _from_subfolders(folders: Mapping[SetName, Path]) -> tuple[Sets, tuple[Verdict, ...]]:
    verdicts = tuple(judge(path for folder in folders.values() for path in files(folder)))
    sets: Sets = {}
    for name, folder in folders.items():
        sets[name] = usable(folder, [v for v in verdicts if v.path.parent == folder], needed=1)
    return sets, verdicts


def _divided(folder: Path, same_images: bool) -> tuple[Sets, tuple[Verdict, ...]]:
    verdicts = tuple(judge(files(folder)))
    photos = usable(folder, verdicts, needed=1 if same_images else len(SET_NAMES))
    return dict.fromkeys(SET_NAMES, photos) if same_images else in_turn(photos), verdicts


def in_turn(photos: Sequence[Path]) -> Sets:
    """The first to protect, the second to attack, the third to held_out, the fourth to protect ..."""
    return {name: tuple(photos[turn :: len(SET_NAMES)]) for turn, name in enumerate(SET_NAMES)}


def files(folder: Path) -> list[Path]:
    """Sorted by name: the order in which a file system lists them means nothing. A link to nothing is a
    file that cannot be read."""
    found = (path for path in folder.iterdir() if path.is_file() or not path.exists())
    return sorted((path for path in found if not path.name.startswith(".")), key=lambda path: path.name)


def judge(paths: Iterable[Path]) -> Iterator[Verdict]:
    """A verdict on each file, in order, made when it is asked for; a picture is not usable twice."""
    first: dict[str, Path] = {}
    for path in paths:
        verdict = inspect(path)
        if verdict.usable and (earlier := first.setdefault(verdict.digest, path)) != path:
            verdict = replace(
                verdict, usable=False, note=f"same picture as {earlier.parent.name}/{earlier.name}"
            )
        yield verdict


def usable(folder: Path, verdicts: Sequence[Verdict], needed: int) -> tuple[Path, ...]:
    """The usable files; raises `InputError`, naming the others, when they are fewer than `needed`."""
    found = tuple(verdict.path for verdict in verdicts if verdict.usable)
    if len(found) < needed:
        aside = [f"{v.path.name}: {v.note}" for v in verdicts if not v.usable and not _is_sidecar(v.path)]
        told = f" ({'; '.join(aside)})" if aside else ""
        raise InputError(
            f"usable photos in {folder}: {len(found)}, needed: {needed}{told}",
            fix="add photos of the subject or replace those set aside",
        )
    return found


def _is_sidecar(path: Path) -> bool:
    return path.suffix.lower() in SIDECARS


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
