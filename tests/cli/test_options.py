"""A result's folder belongs to one process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from apdm.cli.options import new_folder, public_name
from apdm.errors import InputError

HOLDER = """
import sys
from pathlib import Path
from apdm.cli.options import new_folder
new_folder(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_folder_that_another_process_writes_is_refused_until_that_ends(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    folder = tmp_path / "out"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert list(folder.iterdir()) == []
        with pytest.raises(InputError, match="is being written by another process: give a new one"):
            new_folder(folder)
        other.kill()
    assert new_folder(folder) == folder
    assert new_folder(folder) == folder  # this process's own
    assert list(tmp_path.rglob("*")) == [folder]


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is not empty: give a new one"):
        new_folder(tmp_path)
    with pytest.raises(InputError, match="is a file: give a new one"):
        new_folder(tmp_path / "file")


def test_a_published_name_does_not_tell_where_the_model_was(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("")
    assert public_name(str(tmp_path / "model.safetensors")) == "model.safetensors"
    assert public_name(str(tmp_path)) == tmp_path.name
    assert public_name("somebody/model") == "somebody/model"
