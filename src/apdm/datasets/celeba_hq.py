"""CelebA-HQ (Karras et al. 2018): pictures in one folder, and a list of who is on which."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from apdm.datasets.base import Dataset, Division, Source, existing
from apdm.errors import InputError

PICTURES = "CelebA-HQ-img"  # as CelebAMask-HQ calls the folder of pictures
LIST = "CelebA-HQ-identity.txt"  # the list's usual name


class CelebAHQ(Dataset):
    """Pictures in `root` or `root`/CelebA-HQ-img. The list, `Source.identities` or
    `root`/CelebA-HQ-identity.txt, has a line FILE IDENTITY for each picture; a subject is called as its
    identity. Pictures that the list names and the folder lacks are not photos of anybody."""

    division = Division.FOURS

    def __init__(self, source: Source) -> None:
        self.root = existing(source.root, "CelebA-HQ's pictures")
        self.list = source.identities or self.root / LIST
        place = self.root / PICTURES
        listed = read_identities(self.list)
        there = {path.name: path for path in (place if place.is_dir() else self.root).iterdir()}
        self.lacking = [name for name in listed if name not in there]
        people: defaultdict[str, list[Path]] = defaultdict(list)
        for name in sorted(there.keys() & listed.keys()):
            people[listed[name]].append(there[name])
        if not people:
            raise InputError(
                f"no picture that {self.list} names is in {self.root}", fix="give the pictures' folder"
            )
        self.people = {identity: tuple(people[identity]) for identity in sorted(people)}
        self.names = tuple(self.people)

    def class_noun(self, name: str) -> str:
        return "person"

    def photos(self, name: str) -> tuple[Path, ...]:
        return self.people[name]

    def missing(self) -> tuple[str, ...]:
        return (f"{len(self.lacking)} pictures that {self.list.name} names",) if self.lacking else ()


def read_identities(path: Path) -> dict[str, str]:
    """Identity by file name. Raises `InputError` for a list that is missing or has other lines."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise InputError(
            f"the list of identities {path} cannot be read", fix="give it with --identities"
        ) from None
    listed: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words and len(words) != 2:
            raise InputError(f"line {number} of {path} is not FILE IDENTITY", fix="put two words on each")
        if words:
            listed[words[0]] = words[1]
    return listed
