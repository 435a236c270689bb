"""Files that ship with the package: found by name, their hashes checked before use."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from apdm.errors import InputError

WEIGHTS = Path(__file__).parent / "toybox" / "weights"


@dataclass(frozen=True)
class Asset:
    """A folder of shipped files with a `SHA256SUMS.json` of {relative path: hash} beside them."""

    name: str

    def folder(self) -> Path:
        """The folder, once every listed file has been found unaltered. Raises `InputError`."""
        folder = WEIGHTS / self.name
        _verify(folder)
        return folder


TOYBOX_GENERATOR = Asset("toybox-generator")
TOYBOX_IDENTITY = Asset("toybox-identity")
TOYBOX_READER = Asset("toybox-reader")
TOYBOX_DETECTOR = Asset("toybox-detector")
TOYBOX_CLIP = Asset("toybox-clip")


def sha256(path: Path) -> str:
    """The file's SHA-256, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(folder: Path) -> None:
    """Lists the folder's files with their hashes; recipes call it on what they ship."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "SHA256SUMS.json")
    sums = {p.relative_to(folder).as_posix(): sha256(p) for p in files}
    (folder / "SHA256SUMS.json").write_text(json.dumps(sums, indent=1) + "\n")


@cache
def _verify(folder: Path) -> None:
    listing = folder / "SHA256SUMS.json"
    if not listing.is_file():
        raise InputError(f"the shipped weights '{folder.name}' are missing", fix="install apdm again")
    try:
        sums: dict[str, str] = json.loads(listing.read_text())
    except ValueError as error:
        raise InputError(f"the list '{listing}' is damaged", fix="install apdm again") from error
    for name, expected in sums.items():
        if not (folder / name).is_file() or sha256(folder / name) != expected:
            raise InputError(f"the shipped file '{folder / name}' is damaged", fix="install apdm again")
