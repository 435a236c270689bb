"""A manifest gives the same subjects back, and refuses other photos."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from apdm.datasets.base import Source
from apdm.datasets.folders import Folders
from apdm.datasets.manifest import read_manifest, write_manifest
from apdm.errors import InputError
from apdm.subject import SET_NAMES, Subject


@pytest.fixture
def subjects(tmp_path: Path, album) -> list[Subject]:
    for name in ("anna", "bert"):
        album(tmp_path / "data" / name, 5)
    found = Folders(Source(tmp_path / "data", "person"))
    return [found.subject(name, identifier="xyz") for name in found.names]


@pytest.fixture
def manifest(subjects: list[Subject], tmp_path: Path) -> Path:
    write_manifest(tmp_path / "out" / "manifest.json", tmp_path / "data", subjects)
    return tmp_path / "out" / "manifest.json"


def test_what_is_written_is_read_wherever_the_photos_lie(
    manifest: Path, subjects: list[Subject], tmp_path: Path
) -> None:
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    again = read_manifest(manifest, tmp_path / "elsewhere")
    for was, now in zip(subjects, again, strict=True):
        assert (was.name, was.instance_prompt) == (now.name, now.instance_prompt)
        for name in SET_NAMES:
            old = [path.relative_to(tmp_path / "data") for path in was.paths(name)]
            assert old == [path.relative_to(tmp_path / "elsewhere") for path in now.paths(name)]


def test_it_names_no_place_and_hashes_files(manifest: Path, subjects: list[Subject], tmp_path: Path) -> None:
    text = manifest.read_text()
    assert str(tmp_path) not in text
    first = json.loads(text)["subjects"][0]["sets"]["attack"]
    assert list(first) == ["anna/1.png", "anna/4.png"]
    assert tuple(first.values()) == subjects[0].hashes("attack")


@pytest.mark.parametrize("name", ["anna/0.png", "anna/2.png", "bert/4.png"])
def test_a_photo_that_changed_or_went_is_named(manifest: Path, tmp_path: Path, name: str) -> None:
    photo = tmp_path / "data" / name
    photo.write_bytes(photo.read_bytes() + b"x")
    with pytest.raises(InputError, match=f"{name} is not the file"):
        read_manifest(manifest, tmp_path / "data")
    photo.unlink()
    with pytest.raises(InputError, match=f"{name}, which .* names, is not there"):
        read_manifest(manifest, tmp_path / "data")


@pytest.mark.parametrize("text", ["{", "[]", '{"subjects": [{}]}', '{"subjects": [3]}'])
def test_what_is_no_manifest_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(InputError, match="is no manifest"):
        read_manifest(path, tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        read_manifest(tmp_path / "nowhere.json", tmp_path)


def test_photos_outside_the_root_are_no_part_of_it(subjects: list[Subject], tmp_path: Path) -> None:
    moved = replace(subjects[0], protect=(tmp_path / "x.png",))
    (tmp_path / "x.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="not in the subpath"):
        write_manifest(tmp_path / "m.json", tmp_path / "data", [moved])
