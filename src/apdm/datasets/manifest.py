"""Which photos a result rests on: the three sets of each subject with the SHA-256 of every file, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from apdm.errors import InputError
from apdm.subject import SET_NAMES, Sets, Subject


def write_manifest(path: Path, root: Path, subjects: Iterable[Subject]) -> None:
    """Photos are named from `root` on, so that the file says nothing about where they lie."""
    entries = [_entry(subject, root) for subject in subjects]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"subjects": entries}, indent=2) + "\n", encoding="utf-8")


def _entry(subject: Subject, root: Path) -> dict[str, Any]:
    sets = {
        name: {
            path.relative_to(root).as_posix(): sha256
            for path, sha256 in zip(subject.paths(name), subject.hashes(name), strict=True)
        }
        for name in SET_NAMES
    }
    about = {"name": subject.name, "class_noun": subject.class_noun, "identifier": subject.identifier}
    return {**about, "sets": sets}


def read_manifest(path: Path, root: Path) -> tuple[Subject, ...]:
    """The subjects of a manifest, their photos below `root`. Raises `InputError` for a photo that is not
    there or has changed, and for a file that is no manifest."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["subjects"]
        return tuple(_subject(entry, path, root) for entry in entries)
    except OSError:
        raise InputError(f"{path} cannot be read", fix="give a manifest that this program wrote") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path} is no manifest", fix="give one that this program wrote") from None


def _subject(entry: dict[str, Any], path: Path, root: Path) -> Subject:
    sets: Sets = {name: tuple(root / photo for photo in entry["sets"][name]) for name in SET_NAMES}
    photos = [photo for name in SET_NAMES for photo in sets[name]]
    if lacking := [photo for photo in photos if not photo.is_file()]:
        raise InputError(f"{lacking[0]}, which {path} names, is not there", fix="give the same photos")
    subject = Subject(
        name=entry["name"],
        class_noun=entry["class_noun"],
        protect=sets["protect"],
        attack=sets["attack"],
        held_out=sets["held_out"],
        identifier=entry["identifier"],
    )
    for name in SET_NAMES:
        wanted = entry["sets"][name].values()
        for photo, sha256, found in zip(sets[name], wanted, subject.hashes(name), strict=True):
            if sha256 != found:
                raise InputError(f"{photo} is not the file that {path} names", fix="give the same photos")
    return subject
