"""Any folder of folders: a subject in each, all of one class."""

from __future__ import annotations

from pathlib import Path

from apdm.datasets.base import Dataset, Division, Source, existing, subfolders
from apdm.errors import InputError
from apdm.prompts import checked_noun
from apdm.subject import files


class Folders(Dataset):
    """`Source.class_noun` is what every subject is; a subject is called as its folder."""

    division = Division.IN_TURN
    licence = "that of your photos"

    def __init__(self, source: Source) -> None:
        self.root = existing(source.root, "a folder for each subject")
        self.folders = subfolders(self.root)
        self.names = tuple(self.folders)
        if not self.names:
            raise InputError(f"{self.root} has no folders in it", fix="make a folder for each subject")
        self._class_noun = self._noun(source)

    def _noun(self, source: Source) -> str:
        if source.class_noun is None:
            raise InputError("what the subjects are is not known", fix="give --class_noun")
        return checked_noun(source.class_noun)

    def class_noun(self, name: str) -> str:
        return self._class_noun

    def photos(self, name: str) -> tuple[Path, ...]:
        return tuple(files(self.folders[name]))
