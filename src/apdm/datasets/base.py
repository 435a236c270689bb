"""What all readers share: whose photos there are, and how one subject's photos become three sets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import ClassVar, TypeVar

import torch

from apdm import prompts
from apdm.errors import InputError, unknown
from apdm.seeding import generator
from apdm.subject import SET_NAMES, Sets, Subject, Verdict, in_turn, judge, usable

T = TypeVar("T")
FOUR = 4  # photos in each of Anti-DreamBooth's sets A, B and C


class Division(Enum):
    """How the photos of one subject become the sets protect, attack and held_out.

    `FOURS`: twelve drawn by the seed, four to each set; the sizes of Anti-DreamBooth's sets A, B and C.
    `IN_TURN`: all of them, dealt in the order of their names as `Subject.from_folder` does, whatever the
    seed; for the four to six photos of an object, which make sets of one or two.
    `SAME_IMAGES`: all of them in every set, the protocol of the APDM paper.
    """

    FOURS = "fours"
    IN_TURN = "in_turn"
    SAME_IMAGES = "same_images"


@dataclass(frozen=True)
class Source:
    """Where the photos are, and what a reader must be told beside that."""

    root: Path
    class_noun: str | None = None
    """What every subject of a "folder" is."""
    identities: Path | None = None
    """CelebA-HQ's list of who is on which picture."""


class Dataset(ABC):
    """One published layout. Made from a `Source`; raises `InputError` if there is nothing of it.

    `names` are the subjects, sorted; no photo has been looked at for them.
    """

    division: ClassVar[Division]
    """How photos are divided unless it is said otherwise."""
    licence: ClassVar[str] = "not known here: see the publisher's page"
    names: tuple[str, ...]
    root: Path

    @abstractmethod
    def __init__(self, source: Source) -> None: ...

    @abstractmethod
    def class_noun(self, name: str) -> str:
        """What subject `name` is, as a prompt says it."""

    @abstractmethod
    def photos(self, name: str) -> tuple[Path, ...]:
        """The files of subject `name`, sorted. Raises `InputError` where the layout asks for more of them."""

    def missing(self) -> tuple[str, ...]:
        """What the layout promises and the folder does not hold, a line each."""
        return ()

    def subject(
        self,
        name: str,
        seed: int = 0,
        division: Division | None = None,
        identifier: str = prompts.IDENTIFIER,
    ) -> Subject:
        """Subject `name` with its photos divided. Raises `InputError` for a name that is not there, and
        for photos that do not suffice."""
        if name not in self.names:
            raise unknown("subject", name, self.names)
        sets, verdicts = divide(self.photos(name), division or self.division, generator(seed, "photos", name))
        return Subject(
            name=name,
            class_noun=self.class_noun(name),
            protect=sets["protect"],
            attack=sets["attack"],
            held_out=sets["held_out"],
            identifier=identifier,
            verdicts=verdicts,
        )


def divide(
    photos: Sequence[Path], division: Division, draws: torch.Generator
) -> tuple[Sets, tuple[Verdict, ...]]:
    """The three sets, sorted by name, and a verdict on each file that was looked at: for fours no more
    than it takes to find twelve. Raises `InputError` when they are too few."""
    if not photos:
        raise InputError("the subject has no photos", fix="add some, or leave the subject out")
    place, needed = photos[0].parent, len(SET_NAMES)
    if division is not Division.FOURS:
        verdicts = tuple(judge(photos))
        found = usable(place, verdicts, 1 if division is Division.SAME_IMAGES else needed)
        same = dict.fromkeys(SET_NAMES, found)
        return same if division is Division.SAME_IMAGES else in_turn(found), verdicts
    verdicts = _until(needed * FOUR, shuffled(photos, draws))
    found = usable(place, verdicts, needed * FOUR)
    return {name: tuple(sorted(four)) for name, four in in_turn(found).items()}, verdicts


def _until(count: int, photos: Sequence[Path]) -> tuple[Verdict, ...]:
    """Verdicts in order, the last one that of the `count`-th usable photo."""
    verdicts: list[Verdict] = []
    for verdict in judge(photos):
        verdicts.append(verdict)
        if sum(v.usable for v in verdicts) == count:
            break
    return tuple(verdicts)


def shuffled(things: Sequence[T], draws: torch.Generator) -> list[T]:
    return [things[int(index)] for index in torch.randperm(len(things), generator=draws)]


@dataclass(frozen=True)
class Finding:
    """A subject, or why there is none of that name."""

    name: str
    subject: Subject | None
    problem: str = ""


def survey(
    dataset: Dataset, seed: int = 0, division: Division | None = None, count: int | None = None
) -> Iterator[Finding]:
    """Looks at every subject in the order of their names; with `count`, at subjects in an order drawn by
    `seed` until as many were usable. One that is not is a finding and no error."""
    names = dataset.names if count is None else shuffled(dataset.names, generator(seed, "subjects"))
    usable_ones = 0
    for name in names:
        if usable_ones == count:
            return
        try:
            yield Finding(name, dataset.subject(name, seed, division))
            usable_ones += 1
        except InputError as error:
            yield Finding(name, None, error.what)


def existing(folder: Path, holds: str) -> Path:
    """`folder`, if it is one. Raises `InputError`."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", fix=f"give the folder that holds {holds}")
    return folder


def subfolders(folder: Path) -> dict[str, Path]:
    """By name, sorted; hidden ones are not looked at."""
    found = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return {path.name: path for path in found}
