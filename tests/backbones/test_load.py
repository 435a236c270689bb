"""From a name to a backbone; what is wrong with a name is said in one line before anything heavy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from huggingface_hub import utils as hub

from apdm import assets
from apdm.backbones.load import load, locate
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.backbones.tiny import tiny_stable_diffusion
from apdm.errors import InputError
from apdm.schedules import DDPMSchedule


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A v-prediction model as diffusers saves it; nobody may change it."""
    folder = tmp_path_factory.mktemp("models") / "saved"
    tiny_stable_diffusion("v_prediction", seed=5).save(folder)
    return folder


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    """A copy of it to be damaged."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.fixture
def nothing_heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("weights were asked for")

    monkeypatch.setattr(StableDiffusionPipeline, "from_pretrained", refuse)


def complaint(name: str) -> str:
    """What `load` says about `name`, which must be one line."""
    with pytest.raises(InputError) as caught:
        load(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_loading_is_silent(saved: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    load(str(saved)).save(tmp_path)
    assert "%" not in capfd.readouterr().err


def test_loading_leaves_the_bars_of_downloads_as_they_were(saved: Path) -> None:
    for switch, off in ((hub.disable_progress_bars, True), (hub.enable_progress_bars, False)):
        switch()
        load(str(saved))
        assert hub.are_progress_bars_disabled() is off


def test_a_saved_folder_is_loaded_as_it_was(saved: Path) -> None:
    loaded, expected = load(str(saved)), tiny_stable_diffusion("v_prediction", seed=5)
    assert isinstance(loaded.schedule, DDPMSchedule)
    assert loaded.name == str(saved)
    assert loaded.schedule.prediction_type == "v_prediction"
    assert all(torch.equal(weight, expected.weights()[name]) for name, weight in loaded.weights().items())
    text = loaded.encode_prompts(["a photo of sks dog"]).parts["text"]
    assert torch.equal(text, expected.encode_prompts(["a photo of sks dog"]).parts["text"])


def test_half_precision_files_are_loaded_in_single_precision(tmp_path: Path) -> None:
    tiny_stable_diffusion().pipeline.to(torch.float16).save_pretrained(tmp_path)
    loaded = load(str(tmp_path))
    assert isinstance(loaded, StableDiffusion)
    parts = (loaded.network, loaded.pipeline.vae, loaded.pipeline.text_encoder)
    assert {weight.dtype for part in parts for weight in part.parameters()} == {torch.float32}


def test_the_toybox_model_is_a_shipped_folder(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = model.rename(model.parent / assets.TOYBOX_GENERATOR.name)
    assets.write_sums(shipped)
    monkeypatch.setattr(assets, "WEIGHTS", shipped.parent)
    assert locate("toybox") == str(shipped)
    assert load("toybox").name == "toybox"


def test_a_toybox_model_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "WEIGHTS", tmp_path)
    assert "install apdm again" in complaint("toybox")


def test_models_that_moved_are_found() -> None:
    assert locate("runwayml/stable-diffusion-v1-5") == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert locate("CompVis/stable-diffusion-v1-4") == "CompVis/stable-diffusion-v1-4"


@pytest.mark.usefixtures("nothing_heavy")
@pytest.mark.parametrize(
    "name", ["stabilityai/stable-diffusion-2-1-base", "stabilityai/stable-diffusion-2-1"]
)
def test_models_that_are_gone_are_named(name: str) -> None:
    assert complaint(name) == f"model '{name}' is no longer on the hub: give a local copy's folder"


@pytest.mark.usefixtures("nothing_heavy")
@pytest.mark.parametrize("name", ["nowhere", "./nowhere", "../a", "/no/where", "/nowhere", "~/x", "a/b/c"])
def test_a_folder_that_does_not_exist_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert complaint(name) == f"model folder '{name}' does not exist: give a diffusers folder or a hub id"


@pytest.mark.usefixtures("nothing_heavy")
def test_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.ckpt"
    file.write_text("")
    assert complaint(str(file)) == f"model '{file}' is a file: give a diffusers folder or a hub id"


def write_index(text: str) -> Callable[[Path], object]:
    return lambda model: (model / "model_index.json").write_text(text)


def swap_for_pickle(model: Path) -> None:
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no index": (lambda m: (m / "model_index.json").unlink(), "has no model_index.json"),
    "cut index": (write_index("{"), "is not a diffusers index"),
    "index of another kind": (write_index("{}"), "is not a diffusers index"),
    "index that is a list": (write_index("[]"), "is not a diffusers index"),
    "another family": (
        write_index(json.dumps({"_class_name": "StableDiffusion3Pipeline"})),
        "holds a StableDiffusion3Pipeline: this version handles StableDiffusionPipeline",
    ),
    "no unet": (lambda m: shutil.rmtree(m / "unet"), "has no unet"),
    "no vae": (lambda m: shutil.rmtree(m / "vae"), "has no vae"),
    "no text encoder": (lambda m: shutil.rmtree(m / "text_encoder"), "has no text_encoder"),
    "no tokenizer": (lambda m: shutil.rmtree(m / "tokenizer"), "has no tokenizer"),
    "empty tokenizer": (
        lambda m: [file.unlink() for file in (m / "tokenizer").iterdir()],
        "has no tokenizer",
    ),
    "no scheduler": (lambda m: shutil.rmtree(m / "scheduler"), "has no scheduler"),
    "pickled weights": (swap_for_pickle, "no safetensors weights (pickles are refused): convert it"),
}


@pytest.mark.usefixtures("nothing_heavy")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_named_with_its_fault(model: Path, damage: str) -> None:
    do, expected = DAMAGES[damage]
    do(model)
    said = complaint(str(model))
    assert str(model) in said
    assert expected in said


def edit(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def cut_weights(model: Path) -> None:
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut weights": (cut_weights, "could not be loaded"),
    "weights of another size": (
        lambda m: edit(m / "unet" / "config.json", block_out_channels=[16, 16]),
        "could not be loaded",
    ),
    "unknown prediction": (
        lambda m: edit(m / "scheduler" / "scheduler_config.json", prediction_type="sample"),
        "predicts 'sample'",
    ),
}


@pytest.mark.parametrize("damage", UNREADABLE)
def test_what_only_shows_while_loading_is_one_line_too(model: Path, damage: str) -> None:
    do, expected = UNREADABLE[damage]
    do(model)
    assert expected in complaint(str(model))


def test_a_hub_model_of_another_family_is_named_before_its_weights_are_fetched(
    monkeypatch: pytest.MonkeyPatch, nothing_heavy: None
) -> None:
    def index(*_: object, **__: object) -> dict[str, str]:
        return {"_class_name": "StableDiffusionXLPipeline"}

    monkeypatch.setattr(StableDiffusionPipeline, "load_config", index)
    said = complaint("somebody/model")
    assert said.startswith("'somebody/model' holds a StableDiffusionXLPipeline: this version handles")


def test_a_hub_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("We couldn't connect\n   to 'https://huggingface.co'" + "!" * 1000)

    monkeypatch.setattr(StableDiffusionPipeline, "load_config", offline)
    said = complaint("somebody/model")
    assert said.startswith("model 'somebody/model' could not be loaded (We couldn't connect to 'https")
    assert said.endswith("or give a local diffusers folder")
    assert len(said) < 400
