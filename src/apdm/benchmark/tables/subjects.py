"""Subjects as a scenario names them: known, counted and told apart before a photo is rendered.

Keys are what photos depend on, `key` for all that a subject has and `key_of` for some of one set; they say
where nothing is, and name nobody.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from apdm.errors import InputError
from apdm.subject import SET_NAMES, SetName, Subject
from apdm.toybox.seeds import Purpose
from apdm.toybox.subjects import VIEWS, toy_subject


class Source(Protocol):
    """A subject that can be made available in a folder of its own."""

    @property
    def name(self) -> str: ...
    @property
    def class_noun(self) -> str: ...
    @property
    def key(self) -> Mapping[str, object]: ...
    def key_of(self, photos: SetName, count: int | None = None) -> Mapping[str, object]: ...
    def count(self, photos: SetName) -> int: ...
    def write(self, folder: Path) -> None: ...
    def read(self, folder: Path) -> Subject: ...


@dataclass(frozen=True)
class Toy:
    """The class's toy number `index` of the reported seeds, with so many `views` in each set."""

    class_noun: str
    index: int
    views: Mapping[str, int] = field(default_factory=lambda: VIEWS)

    @property
    def seed(self) -> int:
        return Purpose.REPORTED.seed(self.index)

    @property
    def name(self) -> str:
        return f"{self.class_noun}-{self.seed}"

    @property
    def key(self) -> Mapping[str, object]:
        return {"toy": self.name, "views": dict(self.views)}

    def key_of(self, photos: SetName, count: int | None = None) -> Mapping[str, object]:
        """Of the first `count` of a set, or all: which views, numbered through the sets."""
        first = sum(self.views[name] for name in SET_NAMES[: SET_NAMES.index(photos)])
        return {"toy": self.name, "views": [first, first + (self.count(photos) if count is None else count)]}

    def count(self, photos: SetName) -> int:
        return self.views[photos]

    def write(self, folder: Path) -> None:
        toy_subject(folder, self.class_noun, self.seed, Purpose.REPORTED, self.views)

    def read(self, folder: Path) -> Subject:
        return Subject.from_folder(folder, self.class_noun, name=self.name)


@dataclass(frozen=True)
class Photos:
    """A folder of photos; `same_images` as `Subject.from_folder` has it. They are read where they are."""

    class_noun: str
    folder: Path
    same_images: bool

    @cached_property
    def subject(self) -> Subject:
        return Subject.from_folder(self.folder, self.class_noun, same_images=self.same_images)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def key(self) -> Mapping[str, object]:
        return {"photos": _hidden({name: self._hashes[name] for name in SET_NAMES})}

    @cached_property
    def _hashes(self) -> Mapping[SetName, tuple[str, ...]]:
        return {name: self.subject.hashes(name) for name in SET_NAMES}

    def key_of(self, photos: SetName, count: int | None = None) -> Mapping[str, object]:
        """Of the first `count` of a set, or all: their contents, in order."""
        return {"photos": _hidden(self._hashes[photos][:count])}

    def count(self, photos: SetName) -> int:
        return len(self.subject.paths(photos))

    def write(self, folder: Path) -> None:
        """Nothing: they are read where they are."""

    def read(self, folder: Path) -> Subject:
        return self.subject


def _hidden(hashes: object) -> str:
    """One hash of several, by which none of the files is found."""
    return sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def source(
    class_noun: str, which: int | str, views: Mapping[str, int], data: Path | None, same_images: bool
) -> Source:
    """A number is a toy, a name a folder below `data`. Raises `InputError`."""
    if isinstance(which, int):
        return Toy(class_noun, which, VIEWS | dict(views))
    if data is None:
        raise InputError(f"subject '{which}' is a folder of photos", fix="say where it lies: --data DIR")
    return Photos(class_noun, data / which, same_images)
