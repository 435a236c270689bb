"""One file for a whole model: what it says before it is read, what is refused, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from apdm.backbones import single_file
from apdm.backbones.base import Backbone
from apdm.backbones.load import FAMILIES as LOADED
from apdm.backbones.pipeline import PipelineBackbone
from apdm.backbones.single_file import LAYOUTS, Contents, clip_tokenizer, contents, named, read, write
from apdm.backbones.tiny import FAMILIES, tiny_flux, tiny_sdxl, tiny_stable_diffusion, tiny_stable_diffusion_2
from apdm.backbones.words import learn_word
from apdm.errors import InputError

HELD = {name: make for name, make in FAMILIES.items() if name not in ("sd3", "flux")}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("family", HELD)
def test_every_bit_comes_back_with_what_the_weights_cannot_tell(
    family: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = HELD[family]()
    before = {name: weight.clone() for name, weight in model.network.state_dict().items()}
    layout = family.partition("-")[0]
    HELD[layout]().save(file.parent / layout)  # for its configs, which say epsilon
    monkeypatch.setattr(single_file, "CONFIGS", file.parent)
    monkeypatch.setattr(single_file, "clip_tokenizer", lambda pad: model.pipeline.tokenizer)
    write(model, file)
    told = contents(file)
    predicts = model.pipeline.scheduler.config["prediction_type"]
    assert told == Contents(layout, predicts, 16)
    pipeline = read(file, told, LOADED[told.pipeline].settings)
    for part in (model.place, "vae", *LAYOUTS[layout].texts):
        mine, theirs = (getattr(p, part).state_dict() for p in (model.pipeline, pipeline))
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(theirs[name], weight) for name, weight in mine.items())
    assert pipeline.scheduler.config["prediction_type"] == predicts
    assert all(torch.equal(w, before[name]) for name, w in model.network.state_dict().items())


def rewritten(file: Path, change: Callable[[dict[str, torch.Tensor]], object], **header: str) -> None:
    """`file` without its header, or with another, its weights changed."""
    weights = load_file(file)
    change(weights)
    save_file(weights, file, header)


def nothing(weights: dict[str, torch.Tensor]) -> None: ...


def test_a_header_tells_size_and_prediction(file: Path) -> None:
    write(tiny_stable_diffusion_2("v_prediction"), file)
    _, header = named(file)
    assert header["modelspec.architecture"] == "stable-diffusion-v2-768-v"
    assert header["modelspec.prediction_type"] == "v"
    assert header["modelspec.resolution"] == "16x16"
    assert header["modelspec.title"] == "tiny-stable-diffusion-2-v_prediction"


def test_a_title_does_not_tell_where_the_model_was(file: Path) -> None:
    model = tiny_stable_diffusion()
    model.name = "/home/alice/models/mine"
    write(model, file)
    assert named(file)[1]["modelspec.title"] == "mine"


def test_without_a_header_the_family_decides(file: Path) -> None:
    write(tiny_sdxl(), file)
    rewritten(file, nothing)
    assert contents(file) == Contents("sdxl", "epsilon", 1024)
    rewritten(file, lambda weights: weights.update(v_pred=torch.zeros(0)))  # ComfyUI's mark
    assert contents(file) == Contents("sdxl", "v_prediction", 1024)


def test_sd2_says_what_it_predicts_or_its_settings_do(file: Path) -> None:
    """Both kinds have the same weights; a wrong guess would train towards a wrong target."""
    write(tiny_stable_diffusion_2(), file)
    rewritten(file, nothing)
    with pytest.raises(
        InputError, match=r"epsilon or v: put the original settings beside it as 'model.yaml'"
    ):
        contents(file)
    file.with_suffix(".yaml").write_text('model:\n  params:\n    parameterization: "v"\n')
    assert contents(file) == Contents("sd2", "v_prediction", 768)
    file.with_suffix(".yaml").write_text("model:\n  params:\n    linear_start: 0.00085\n")
    assert contents(file) == Contents("sd2", "epsilon", 512)


def without(prefix: str) -> Callable[[Path], None]:
    def remove(file: Path) -> None:
        rewritten(file, lambda w: [w.pop(name) for name in list(w) if name.startswith(prefix)])

    return remove


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (cut, "is damaged"),
    "a pickle inside": (lambda file: torch.save({"w": torch.ones(9)}, file), "is damaged"),
    "empty": (lambda file: file.write_bytes(b""), "is damaged"),
    "an adapter": (
        lambda file: save_file({"lora_A": torch.ones(1)}, file),
        "no text encoder of SD 1.x, 2.x or",
    ),
    "no text encoder": (without("cond_stage_model"), "no text encoder"),
    "no UNet": (without("model.diffusion_model"), "has no UNet: give a whole model"),
    "no autoencoder": (without("first_stage_model"), "has no autoencoder: give a whole model"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_named_before_it_is_read(fault: str, file: Path) -> None:
    write(tiny_stable_diffusion(), file)
    do, said = FAULTS[fault]
    do(file)
    with pytest.raises(InputError) as caught:
        contents(file)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_weight_that_is_missing_is_one_line(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_stable_diffusion()
    model.save(file.parent / "sd1")
    monkeypatch.setattr(single_file, "CONFIGS", file.parent)
    monkeypatch.setattr(single_file, "clip_tokenizer", lambda pad: model.pipeline.tokenizer)
    write(model, file)
    without("model.diffusion_model.middle_block")(file)
    with pytest.raises(InputError, match="lacks weights of its model"):
        read(file, contents(file), LOADED["StableDiffusionPipeline"].settings)


def test_a_file_of_mixed_precision_is_read_in_single_precision(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_sdxl()
    model.save(file.parent / "sdxl")
    monkeypatch.setattr(single_file, "CONFIGS", file.parent)
    monkeypatch.setattr(single_file, "clip_tokenizer", lambda pad: model.pipeline.tokenizer)
    write(model, file)
    halves = {"model": torch.float16, "conditioner": torch.bfloat16}

    def halve(weights: dict[str, torch.Tensor]) -> None:
        for name, weight in weights.items():
            weights[name] = weight.to(halves.get(name.split(".")[0], weight.dtype))

    rewritten(file, halve)
    pipeline = read(file, contents(file), LOADED["StableDiffusionXLPipeline"].settings)
    parts = (pipeline.unet, pipeline.vae, pipeline.text_encoder, pipeline.text_encoder_2)
    assert {weight.dtype for part in parts for weight in part.parameters()} == {torch.float32}


def taught() -> PipelineBackbone:
    model = tiny_stable_diffusion()
    learn_word(model, "<new1>", 1, "dog")
    return model


REFUSED: dict[str, tuple[Callable[[], Backbone], str]] = {
    "another family": (tiny_flux, "a FluxPipeline is not written into one file"),
    "a learnt word": (taught, "has learnt <new1>, and one file holds no new words: export a folder"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_one_file_cannot_hold_is_refused(case: str, file: Path) -> None:
    make, said = REFUSED[case]
    with pytest.raises(InputError, match=said):
        write(make(), file)
    assert not file.exists()


def test_clips_tokenizer_is_clips() -> None:
    """By numbers that are known: its 49408 words, two marks, and a sentence."""
    first, second = clip_tokenizer("<|endoftext|>"), clip_tokenizer("!")
    assert len(first) == 49408
    assert first("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert first("sks").input_ids == [49406, 48136, 49407]
    settings = {"padding": "max_length", "truncation": True}
    assert first("cat", **settings).input_ids == [49406, 2368, *[49407] * 75]
    assert second("cat", **settings).input_ids == [49406, 2368, 49407, *[0] * 74]
