"""The DreamBooth dataset (Ruiz et al., CVPR 2023; github.com/google/dreambooth): thirty objects and pets."""

from __future__ import annotations

from pathlib import Path

from apdm.datasets.base import Dataset, Division, Source, existing, subfolders
from apdm.errors import InputError
from apdm.subject import files

CLASSES = "prompts_and_classes.txt"
HEADER = "subject_name,class"


class DreamBoothPhotos(Dataset):
    """`root` is the repository or its dataset/: a folder of four to six photos for each subject, whose
    class nouns stand in prompts_and_classes.txt. Subjects are the folders that it names."""

    division = Division.IN_TURN
    licence = "CC-BY-4.0"

    def __init__(self, source: Source) -> None:
        self.root = existing(source.root, f"the subjects and {CLASSES}")
        if not (self.root / CLASSES).is_file() and (self.root / "dataset" / CLASSES).is_file():
            self.root /= "dataset"
        self.nouns = read_classes(self.root / CLASSES)
        there = subfolders(self.root)
        self.folders = {name: there[name] for name in sorted(self.nouns) if name in there}
        self.names = tuple(self.folders)
        if not self.names:
            raise InputError(f"{self.root} holds no subject's folder", fix="copy them beside the classes")

    def class_noun(self, name: str) -> str:
        return self.nouns[name]

    def photos(self, name: str) -> tuple[Path, ...]:
        return tuple(files(self.folders[name]))

    def missing(self) -> tuple[str, ...]:
        lacking = sorted(self.nouns.keys() - self.folders.keys())
        return (f"{len(lacking)} of {len(self.nouns)} subjects: {', '.join(lacking)}",) if lacking else ()


def read_classes(path: Path) -> dict[str, str]:
    """Class noun by subject: the lines NAME,CLASS that follow the header, up to an empty one."""
    if not path.is_file():
        raise InputError(f"{path} is not there", fix="give the dataset's folder as it is published")
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    if HEADER not in lines:
        raise InputError(f"{path} has no line '{HEADER}'", fix="take the file as it is published")
    table = lines[lines.index(HEADER) + 1 :]
    table = table[: table.index("")] if "" in table else table
    return {name: noun for name, _, noun in (line.partition(",") for line in table)}
