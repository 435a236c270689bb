"""What a record says of the code and the machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from apdm.benchmark import provenance
from apdm.benchmark.store import versions


def git(folder: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    done = subprocess.run(["git", *settings, "-C", str(folder), *arguments], capture_output=True, check=True)
    return done.stdout.decode().strip()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package within a repository that holds other things."""
    git(tmp_path, "init", "-q")
    place = tmp_path / "src" / "apdm"
    place.mkdir(parents=True)
    (place / "x.py").write_text("x = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "code")
    monkeypatch.setattr(provenance, "PACKAGE", place)
    provenance.code.cache_clear()
    yield place
    provenance.code.cache_clear()


def test_the_commit_is_the_last_one_that_changed_the_package(package: Path, tmp_path: Path) -> None:
    code = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "page.md").write_text("words")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "words")
    assert provenance.code() == (code, False)


@pytest.mark.parametrize("name", ["x.py", "new.py"])
def test_changes_to_the_package_are_said(package: Path, name: str) -> None:
    (package / name).write_text("x = 2\n")
    assert provenance.code()[1]


def test_changes_elsewhere_are_not(package: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("words")
    assert not provenance.code()[1]


def test_without_a_repository_the_version_stands_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    provenance.code.cache_clear()
    assert provenance.code() == (f"apdm {versions()['apdm']}", False)
    provenance.code.cache_clear()


def test_device_versions_and_memory_are_told() -> None:
    cpu = torch.device("cpu")
    told = provenance.provenance(cpu)
    assert told.device.startswith("cpu ")
    assert told.device.endswith(("thread", "threads"))
    assert told.versions == versions()
    peak = provenance.peak_memory(cpu)
    assert peak is None or 10**7 < peak < 10**12
