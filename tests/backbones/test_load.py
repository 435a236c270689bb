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

from apdm import assets, ranks
from apdm.backbones import load as load_module
from apdm.backbones import single_file
from apdm.backbones.base import Sampling
from apdm.backbones.load import GIVE, blank, load, locate
from apdm.backbones.pipeline import PipelineBackbone
from apdm.backbones.single_file import write
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.backbones.tiny import FAMILIES, tiny_sd3, tiny_sdxl, tiny_stable_diffusion
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


def test_each_of_several_processes_takes_its_own_device(
    saved: Path, monkeypatch: pytest.MonkeyPatch, nothing_heavy: None
) -> None:
    monkeypatch.setattr(ranks, "count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "99")
    for device, said in (("cuda", "'cuda:99' cannot be used here"), ("cuda:0", "2 processes cannot share")):
        with pytest.raises(InputError, match=said):
            load(str(saved), device)


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
    assert complaint(name) == f"model folder '{name}' does not exist: {GIVE}"


def write_index(text: str) -> Callable[[Path], object]:
    return lambda model: (model / "model_index.json").write_text(text)


def swap_for_pickle(model: Path) -> None:
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))


def cut(part: str) -> Callable[[Path], object]:
    def halve(model: Path) -> None:
        weights = next((model / part).glob("*.safetensors"))
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])

    return halve


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no index": (lambda m: (m / "model_index.json").unlink(), "has no model_index.json"),
    "cut index": (write_index("{"), "is not a diffusers index"),
    "index of another kind": (write_index("{}"), "is not a diffusers index"),
    "index that is a list": (write_index("[]"), "is not a diffusers index"),
    "text to video": (
        write_index(json.dumps({"_class_name": "TextToVideoSDPipeline"})),
        "holds a TextToVideoSDPipeline: this version handles StableDiffusionPipeline, StableDiffusionXL",
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
    "cut unet": (cut("unet"), "damaged"),
    "cut autoencoder": (cut("vae"), "damaged"),
    "cut text encoder": (cut("text_encoder"), "damaged"),
    "a pickle by another name": (
        lambda m: torch.save({"w": torch.ones(9)}, next((m / "vae").glob("*.safetensors"))),
        "damaged",
    ),
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


UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
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
    monkeypatch.setattr(load_module, "fetch_index", lambda model: {"_class_name": "KolorsPipeline"})
    assert complaint("somebody/model").startswith(
        "'somebody/model' holds a KolorsPipeline: this version handles"
    )


def test_no_pickle_is_fetched_from_the_hub_and_what_fails_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, object] = {}

    def refuse(place: str, **settings: object) -> None:
        asked.update(settings, place=place)
        raise OSError("no safetensors\n  found" + "!" * 1000)

    monkeypatch.setattr(load_module, "fetch_index", lambda model: {"_class_name": "StableDiffusionPipeline"})
    monkeypatch.setattr(StableDiffusionPipeline, "from_pretrained", refuse)
    said = complaint("runwayml/stable-diffusion-v1-5")
    assert "could not be loaded (no safetensors found!" in said
    assert len(said) < 400
    assert asked["use_safetensors"] is True
    assert asked["place"] == "stable-diffusion-v1-5/stable-diffusion-v1-5"


def test_a_hub_model_with_an_index_of_another_kind_is_one_line(
    monkeypatch: pytest.MonkeyPatch, nothing_heavy: None
) -> None:
    monkeypatch.setattr(load_module, "fetch_index", lambda model: {"layers": 3})
    assert complaint("a/b") == "the index of 'a/b' is not a diffusers index: save the model again"


FAMILIES_HERE = FAMILIES | {"sd3 without T5": lambda: tiny_sd3(False)}


@pytest.mark.parametrize("family", FAMILIES_HERE)
def test_every_family_is_loaded_as_what_it_is(family: str, tmp_path: Path) -> None:
    model = FAMILIES_HERE[family]()
    model.save(tmp_path)
    loaded = load(str(tmp_path))
    assert type(loaded) is type(model)
    assert loaded.text.keys() == model.text.keys()
    assert type(loaded.schedule) is type(model.schedule)
    assert all(torch.equal(w, model.weights()[name]) for name, w in loaded.weights().items())


@pytest.mark.parametrize("part", ["text_encoder_2", "tokenizer_2", "text_encoder_3", "tokenizer_3"])
def test_each_text_encoder_is_missed(part: str, tmp_path: Path) -> None:
    """T5 too, where the index speaks of it."""
    tiny_sd3().save(tmp_path)
    shutil.rmtree(tmp_path / part)
    assert f"has no {part}" in complaint(str(tmp_path))


def test_parts_of_different_precision_become_single_precision(tmp_path: Path) -> None:
    pipeline = tiny_sdxl().pipeline
    pipeline.unet.to(torch.float16)
    pipeline.text_encoder_2.to(torch.bfloat16)
    pipeline.save_pretrained(tmp_path)
    loaded = load(str(tmp_path))
    assert isinstance(loaded, PipelineBackbone)
    parts = (loaded.network, loaded.pipeline.vae, *loaded.text_encoders())
    assert {weight.dtype for part in parts for weight in part.parameters()} == {torch.float32}
    assert loaded.generate(["a dog"], [0], Sampling(num_inference_steps=1)).dtype == torch.float32


def test_a_single_file_becomes_the_model_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the config of its layout, in place of which the tiny model's own stands here."""
    model = tiny_sdxl()
    model.save(tmp_path / "sdxl")
    monkeypatch.setattr(single_file, "CONFIGS", tmp_path)
    monkeypatch.setattr(single_file, "clip_tokenizer", lambda pad: model.pipeline.tokenizer)
    write(model, tmp_path / "model.safetensors")
    loaded = load(str(tmp_path / "model.safetensors"))
    assert type(loaded) is type(model)
    assert loaded.name == str(tmp_path / "model.safetensors")
    sampling = Sampling(num_inference_steps=2)
    drawn = (m.generate(["a photo of dog"], [0], sampling) for m in (loaded, model))
    torch.testing.assert_close(*drawn, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("nothing_heavy")
def test_a_pickle_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1)}, tmp_path / "model.ckpt")
    assert "(pickles are refused)" in complaint(str(tmp_path / "model.ckpt"))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_blank_is_the_model_without_its_weights(family: str, tmp_path: Path) -> None:
    FAMILIES[family]().save(tmp_path)
    whole, empty = load(str(tmp_path)), blank(str(tmp_path))
    assert type(empty) is type(whole)
    assert isinstance(empty, PipelineBackbone)
    assert isinstance(whole, PipelineBackbone)
    assert (empty.resolution, empty.name) == (whole.resolution, whole.name)
    assert {**empty.pipeline.config, "_name_or_path": str(tmp_path)} == dict(whole.pipeline.config)
    assert empty.pipeline.scheduler.config == whole.pipeline.scheduler.config
    for name, part in whole.pipeline.components.items():
        other = empty.pipeline.components[name]
        assert type(other) is type(part)
        if isinstance(part, torch.nn.Module):
            shapes = {n: (w.shape, w.dtype) for n, w in part.named_parameters()}
            assert {n: (w.shape, w.dtype) for n, w in other.named_parameters()} == shapes
    assert not torch.equal(next(empty.network.parameters()), next(whole.network.parameters()))


def test_a_blank_of_a_single_file_is_of_the_size_and_kind_that_it_says(tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from torch._subclasses.fake_tensor import FakeTensorMode

    layout = single_file.LAYOUTS["sd2"]
    names = (layout.mark, "model.diffusion_model.x", "first_stage_model.x")
    told = {"modelspec.prediction_type": "v", "modelspec.resolution": "768x768"}
    save_file({name: torch.zeros(1) for name in names}, tmp_path / "model.safetensors", told)
    with FakeTensorMode():  # 3.5 GB otherwise
        empty = blank(str(tmp_path / "model.safetensors"))
        assert sum(weight.numel() for weight in empty.network.parameters()) == 865_910_724
    assert empty.resolution == 768
    assert isinstance(empty.schedule, DDPMSchedule)
    assert empty.schedule.prediction_type == "v_prediction"
    assert len(empty.text["tokenizer"]) == 49408


def test_a_blank_imports_nothing_that_an_index_names(model: Path) -> None:
    index = json.loads((model / "model_index.json").read_text())
    index["unet"] = ["antigravity", "UNet2DConditionModel"]
    (model / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"the index names antigravity\.UNet2DConditionModel: give"):
        blank(str(model))
