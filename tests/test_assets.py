"""Shipped files are found by name and their hashes checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apdm import assets
from apdm.assets import Asset, sha256, write_sums
from apdm.errors import InputError


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an asset called "model", with one file on top and one below, and its list."""
    monkeypatch.setattr(assets, "WEIGHTS", tmp_path)
    folder = tmp_path / "model"
    (folder / "part").mkdir(parents=True)
    (folder / "card.md").write_text("abc")
    (folder / "part" / "weights.bin").write_bytes(bytes(1000))
    write_sums(folder)
    return folder


def test_hashes_are_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert sha256(tmp_path / "file") == expected


def test_the_list_names_every_file_but_itself(shipped: Path) -> None:
    write_sums(shipped)  # a second time, now that a list is there
    sums = json.loads((shipped / "SHA256SUMS.json").read_text())
    assert sums == {name: sha256(shipped / name) for name in ("card.md", "part/weights.bin")}


def test_an_unaltered_folder_is_given(shipped: Path) -> None:
    assert Asset("model").folder() == shipped


def test_an_altered_file_is_named(shipped: Path) -> None:
    (shipped / "part" / "weights.bin").write_bytes(bytes(999) + b"\x01")
    with pytest.raises(InputError, match=r"weights\.bin' is damaged: install apdm again"):
        Asset("model").folder()


def test_a_missing_file_is_named(shipped: Path) -> None:
    (shipped / "card.md").unlink()
    with pytest.raises(InputError, match=r"card\.md' is damaged"):
        Asset("model").folder()


def test_a_missing_list_is_an_error(shipped: Path) -> None:
    (shipped / "SHA256SUMS.json").unlink()
    with pytest.raises(InputError, match=r"'model' are missing.*: install apdm again"):
        Asset("model").folder()


def test_a_damaged_list_is_an_error(shipped: Path) -> None:
    (shipped / "SHA256SUMS.json").write_text('{"card.md": ')
    with pytest.raises(InputError, match="install apdm again"):
        Asset("model").folder()
