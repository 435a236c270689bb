"""What several verbs share: a folder for one process, a side that the model takes, how the model is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from safetensors.torch import load_file

from apdm.backbones.base import Backbone
from apdm.backbones.execution import Execution
from apdm.cli.options import check_file, check_new, new_folder, public_name, side
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
    for usable in (check_new, new_folder):
        with pytest.raises(InputError, match="file' is a file: give a new one"):
            usable(tmp_path / "file")
        with pytest.raises(InputError, match=r"below' lies in .*file, which is a file: give a new one"):
            usable(tmp_path / "file" / "new" / "below")


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


def test_another_resolution_than_the_models_own(
    run: Callable[..., None], model: Path, photos: Path, tmp_path: Path
) -> None:
    subject = ("--subject", photos, "--class_noun", "dog", "--resolution", "32")
    quick = ("--num_class_images", "2", "--num_inference_steps", "1")
    short = ("--outer_steps", "1", "--inner_steps", "1")
    run("protect", model, *subject, *quick, *short, "--output_dir", tmp_path / "protected")
    attack = (*quick, "--max_train_steps", "1")
    run("personalize", model, *subject, *attack, "--output_dir", tmp_path / "attacked")
    assert all((tmp_path / made / "model_index.json").is_file() for made in ("protected", "attacked"))


@pytest.mark.parametrize("verb", ["protect", "personalize", "cloak"])
def test_a_resolution_that_the_model_does_not_take_is_refused_before_anything_is_drawn(
    refused: Callable[..., str],
    verb: str,
    model: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As Flux and Stable Diffusion 3 are, whose networks take several latents as one."""
    from apdm.backbones.pipeline import PipelineBackbone  # loads diffusers

    monkeypatch.setattr(PipelineBackbone, "patch", lambda _: 8)
    monkeypatch.setattr(PipelineBackbone, "generate", None)
    given = (model, "--subject", photos, "--class_noun", "dog", "--resolution", "24")
    said = refused(verb, *given, "--output_dir", tmp_path / "made")
    assert f"resolution is 24: give a multiple of 16 for '{model}'" in said


def test_the_model_is_run_as_the_flags_say(
    run: Callable[..., None], model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apdm.backbones.pipeline import PipelineBackbone  # loads diffusers

    heard: list[Execution] = []
    run_as = PipelineBackbone.run_as

    def noting(self: PipelineBackbone, execution: Execution) -> None:
        heard.append(execution)
        run_as(self, execution)

    monkeypatch.setattr(PipelineBackbone, "run_as", noting)
    given = (model, "--subject", photos, "--class_noun", "dog", "--mixed_precision", "bf16")
    quick = ("--num_class_images", "2", "--num_inference_steps", "1", "--gradient_checkpointing")
    short = ("--outer_steps", "1", "--inner_steps", "1", "--offload")
    run("protect", *given, *quick, *short, "--output_dir", tmp_path / "protected")
    run("personalize", *given, *quick, "--max_train_steps", "1", "--output_dir", tmp_path / "attacked")
    plain = Execution("bf16", gradient_checkpointing=True)
    assert heard == [replace(plain, offload=True), plain]
    settings = json.loads((tmp_path / "protected" / "apdm.json").read_text())
    assert settings["execution"]["mixed_precision"] == "bf16"
    weights = load_file(tmp_path / "protected" / "unet" / "diffusion_pytorch_model.safetensors")
    assert weights["conv_in.weight"].dtype == torch.float32


@pytest.mark.parametrize("verb", ["protect", "personalize", "estimate"])
def test_8_bit_adam_without_its_package_is_one_line(
    refused: Callable[..., str], verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said before anything is looked for: neither model nor photos are there."""
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    nowhere = str(tmp_path / "nowhere")
    job = ("--subject", nowhere, "--class_noun", "dog", "--output_dir", nowhere)
    given = (verb, nowhere, "--use_8bit_adam", *(job if verb != "estimate" else ()))
    assert "8-bit Adam needs bitsandbytes: pip install 'apdm[8bit]'" in refused(*given)


def test_a_place_that_may_not_be_written_is_refused_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda place, mode: place != tmp_path)
    for usable in (check_new, new_folder):
        with pytest.raises(InputError, match=r"output folder '.*' may not be written: give another one"):
            usable(tmp_path / "new" / "deeper")
    with pytest.raises(InputError, match=r"output '.*x\.json' may not be written: name another place"):
        check_file(tmp_path / "new" / "x.json", "output")
    assert not list(tmp_path.iterdir())
    (tmp_path / "there").mkdir()
    assert new_folder(tmp_path / "there") == tmp_path / "there"


def test_a_file_has_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    check_file(tmp_path / "file", "output")
    check_file(tmp_path / "new" / "deeper" / "file", "output")
    with pytest.raises(InputError, match="is a folder: name a file"):
        check_file(tmp_path, "output")
    with pytest.raises(InputError, match=r"lies in .*file, which is a file"):
        check_file(tmp_path / "file" / "below", "output")


def test_what_a_killed_save_left_does_not_fill_a_folder(tmp_path: Path) -> None:
    """The same command works again."""
    (tmp_path / ".model.12345.part" / "unet").mkdir(parents=True)
    check_new(tmp_path)
    assert new_folder(tmp_path) == tmp_path
    assert not list(tmp_path.iterdir())


def test_in_a_folder_that_is_refused_nothing_is_cleared_away(tmp_path: Path) -> None:
    for name in (".film.1.part", "mine.txt"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        new_folder(tmp_path)
    assert (tmp_path / ".film.1.part").exists()
