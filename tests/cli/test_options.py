"""A result's folder belongs to one process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from apdm.backbones.base import Backbone
from apdm.cli.options import new_folder, public_name, side
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


def test_a_side_is_one_that_every_model_takes() -> None:
    one, other = (
        cast("Backbone", SimpleNamespace(name=name, resolution=512, step=step))
        for name, step in (("one", 8), ("other", 16))
    )
    assert side(None, one) == 512
    assert side(24, one) == 24
    assert side(48, one, other) == 48
    with pytest.raises(InputError, match="resolution is 24: give a multiple of 16 for 'other'"):
        side(24, one, other)
