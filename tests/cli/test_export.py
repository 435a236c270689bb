"""`apdm export`: one file or a folder, the weights as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from safetensors.torch import load_file

from apdm.backbones.load import load
from apdm.backbones.tiny import tiny_sd3, tiny_sdxl
from apdm.cli.main import main


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line on stderr; asserts that it is one and that the exit code is 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["export", *map(str, arguments)])
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert said.count("\n") == 1
    return said


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tiny_sdxl().save(tmp_path / "model")
    return tmp_path / "model"


def test_one_file_holds_the_models_bits(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "model.safetensors"
    main(["export", "--single-file", str(model), str(out)])
    original = load(str(model))
    state = convert_ldm_unet_checkpoint(load_file(out), original.network.config)
    assert state.keys() == original.weights().keys()
    assert all(torch.equal(state[name], weight) for name, weight in original.weights().items())
    assert [path.name for path in out.parent.iterdir()] == ["model.safetensors"]


def test_a_folder_holds_them_too_and_a_card(model: Path, tmp_path: Path) -> None:
    main(["export", str(model), str(tmp_path / "folder")])
    again, original = load(str(tmp_path / "folder")), load(str(model))
    assert all(torch.equal(again.weights()[name], w) for name, w in original.weights().items())
    card = (tmp_path / "folder" / "README.md").read_text()
    assert card.startswith("---\nbase_model: model\n")
    assert str(tmp_path) not in card


def test_what_cannot_be_exported_is_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken.safetensors"
    taken.write_text("mine")
    assert "exists: give a new one" in refused(capsys, model, taken, "--single_file")
    assert taken.read_text() == "mine"
    assert "is no .safetensors file" in refused(capsys, model, tmp_path / "model.ckpt", "--single_file")
    assert "is not empty" in refused(capsys, model, model)
    assert "does not exist" in refused(capsys, tmp_path / "nowhere", tmp_path / "x")
    below = taken / "new.safetensors"
    assert f"output '{below}' lies in {taken}, which is a file" in refused(
        capsys, model, below, "--single_file"
    )
    tiny_sd3().save(tmp_path / "sd3")
    out = tmp_path / "new.safetensors"
    assert "StableDiffusion3Pipeline is not written into one file" in refused(
        capsys, tmp_path / "sd3", out, "--single_file"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "sd3", "taken.safetensors"]
