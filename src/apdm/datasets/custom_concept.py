"""CustomConcept101 (Kumari et al., CVPR 2023): things, pets, scenes and people, listed in dataset.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from apdm.datasets.base import Dataset, Division, Source, existing
from apdm.errors import InputError
from apdm.subject import files

INDEX = "dataset.json"


class CustomConcept101(Dataset):
    """`root` holds dataset.json. Each entry's `instance_data_dir`, from `root` on, is a subject, called as
    that folder; its `class_prompt` is the class noun."""

    division = Division.IN_TURN

    def __init__(self, source: Source) -> None:
        self.root = existing(source.root, INDEX)
        listed = read_index(self.root / INDEX)
        found = {name: entry for name, entry in listed.items() if (self.root / entry[0]).is_dir()}
        self.entries = dict(sorted(found.items()))
        self.names = tuple(self.entries)
        self.lacking = sorted(listed.keys() - found.keys())
        if not self.names:
            raise InputError(f"no folder that {self.root / INDEX} names is there", fix="unpack the photos")

    def class_noun(self, name: str) -> str:
        return self.entries[name][1]

    def photos(self, name: str) -> tuple[Path, ...]:
        return tuple(files(self.root / self.entries[name][0]))

    def missing(self) -> tuple[str, ...]:
        lacking, total = self.lacking, len(self.lacking) + len(self.names)
        return (f"{len(lacking)} of {total} subjects: {', '.join(lacking)}",) if lacking else ()


def read_index(path: Path) -> dict[str, tuple[str, str]]:
    """Folder and class noun by subject. Raises `InputError` for what is no such index."""
    try:
        entries: Any = json.loads(path.read_text(encoding="utf-8"))
        listed = [(entry["instance_data_dir"], entry["class_prompt"]) for entry in entries]
    except OSError:
        raise InputError(f"{path} is not there", fix="give the folder as it is published") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{path} is no list of instance_data_dir and class_prompt", fix="take the file as it is published"
        ) from None
    return {Path(folder).name: (folder, noun) for folder, noun in listed}
