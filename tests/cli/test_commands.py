"""The commands as a person types them: what they print, write, refuse, and with which exit code."""

from __future__ import annotations

import errno
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file

from apdm.backbones.execution import Execution
from apdm.cli.main import VERBS, main

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion

WEIGHTS = "diffusion_pytorch_model.safetensors"


def run(*arguments: str | Path) -> None:
    main([str(argument) for argument in arguments])


def failed(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[str]:
    """The lines on stderr, bars included; asserts that the exit code is 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line on stderr; asserts that it is one and that the exit code is 2."""
    (said,) = failed(capsys, *arguments)
    return said


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    run()
    said = capsys.readouterr().out
    assert all(f"  {verb} " in said for verb in VERBS)


@pytest.mark.parametrize("verb", [v for v in VERBS if v not in ("toybox", "datasets")])
def test_help_of_each_verb_ends_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(verb, "--help")
    assert stop.value.code == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("Example: ")
    assert f"apdm {verb}" in last


def test_unknown_verb_offers_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'protect'?" in refused(capsys, "protct")


def test_unknown_flag_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--subjct" in refused(capsys, "protect", "toybox", "--subjct", "x")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("generate", "toybox", "--prompt", "a dog", "--num_images", "0"), "num_images is 0: give 1"),
        (
            ("generate", "toybox", "--prompt", "a dog", "--num_inference_steps", "0"),
            "num_inference_steps is 0",
        ),
        (
            ("generate", "toybox", "--prompt", "a dog", "--device", "nonsense"),
            "device 'nonsense' cannot be used",
        ),
        (
            ("toybox", "render", "--class_noun", "dog", "--seed", "500001", "--views", "0"),
            "views is 0: give 1",
        ),
        (("toybox", "sample", "--count", "0"), "count is 0: give 1"),
    ],
)
def test_numbers_and_devices_without_meaning_are_refused(
    arguments: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(capsys, *arguments, "--output_dir", str(tmp_path / "out"))


def test_missing_model_is_said_before_the_photos_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    rest = ("--subject", "nowhere", "--class_noun", "dog", "--output_dir", "x")
    assert "no/such/model" in refused(capsys, "protect", "no/such/model", *rest)


def test_a_full_output_folder_is_refused_and_left_alone(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    rest = ("--subject", photos, "--class_noun", "dog", "--output_dir", out)
    assert "not empty" in refused(capsys, "protect", model, *rest)
    assert (out / "mine.txt").read_text() == "mine"


def test_render_is_the_same_for_everybody(photos: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    run("toybox", "render", "--class-noun", "dog", "--seed", "500001", "--views", "2", "--output-dir", again)
    pictures = sorted(again.glob("*.png"))
    assert len(pictures) == 2
    for picture in pictures:
        assert picture.read_bytes() == (photos / picture.name).read_bytes()
        assert (photos / picture.name).with_suffix(".txt").read_text().startswith("a photo of a")


def test_protect_attack_generate_evaluate(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The main job by hand on the tiny model, each command fed by the one before."""
    subject = ("--subject", photos, "--class_noun", "dog")
    quick = ("--num_class_images", "2", "--num_inference_steps", "2", "--learning_rate", "1e-4")
    protected, attacked, pictures = (tmp_path / name for name in ("protected", "attacked", "pictures"))
    before = {p: p.read_bytes() for p in model.rglob("*") if p.is_file()}

    short = ("--outer_steps", "1", "--inner_steps", "1")
    run("protect", model, *subject, *quick, *short, "--output_dir", protected)
    attack = (*subject, *quick, "--max_train_steps", "1", "--class_model", model)
    run("personalize", protected, *attack, "--output_dir", attacked)
    assert before == {p: p.read_bytes() for p in model.rglob("*") if p.is_file()}
    written = {p.name for p in protected.iterdir()}
    assert {"README.md", "apdm.json", "log.jsonl", "positives", "unet"} <= written
    for folder, name in ((protected, "model"), (attacked, "protected")):
        settings, card = (folder / "apdm.json").read_text(), (folder / "README.md").read_text()
        assert json.loads(settings)["model"] == name
        assert f"base_model: {name}\n" in card
        assert str(tmp_path) not in settings + card  # no word on where their maker keeps things

    prompt = ("--prompt", "a photo of sks dog", "--num_images", "3", "--num_inference_steps", "2")
    run("generate", attacked, *prompt, "--output_dir", pictures)
    assert len(list(pictures.glob("*.png"))) == 3
    settings = json.loads((pictures / "apdm.json").read_text())
    assert (settings["model"], settings["prompt"]) == ("attacked", ["a photo of sks dog"])
    assert (pictures / "log.jsonl").is_file()
    capsys.readouterr()
    for picture in photos.glob("*.png"):  # larger ones than the tiny model's, beside the same two files
        shutil.copy(picture, pictures / f"picture_{picture.name[-9:]}")
    run("evaluate", *subject, "--generated", pictures)
    assert "json" not in capsys.readouterr().out  # what stands beside the pictures is known
    control = ("--control", photos, "--class_images", photos, "--resolution", "64")
    figures, report = tmp_path / "figures.json", tmp_path / "report"
    outputs = ("--output_file", figures, "--output_dir", report)
    run("evaluate", *subject, "--generated", photos, *control, *outputs)
    assert "attack strength" in capsys.readouterr().out
    assert json.loads(figures.read_text())["protection rate"]["n"] == 2 * len(list(photos.glob("*.png")))
    assert "What was not tested" in (report / "report.html").read_text()
    assert (report / "contact-sheet.png").is_file()
    assert {json.loads(line)["task"] for line in (report / "log.jsonl").open()} == {"judge", "BRISQUE"}
    assert not json.loads((report / "result.json").read_text())["toy"]  # unless it is said: --toy
    again = tmp_path / "toy"
    run("evaluate", *subject, "--generated", photos, *control, "--toy", "--output_dir", again)
    assert json.loads((again / "result.json").read_text())["toy"]


def test_the_flags_of_protect_are_those_of_its_method(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = ("--subject", photos, "--class_noun", "dog", "--num_inference_steps", "1", "--method", "imma")
    settings = ("--max_train_steps", "2", "--simulated.learning_rate", "1e-3")
    assert "--outer_steps" in refused(
        capsys, "protect", model, *rest, "--outer_steps", "1", "--output_dir", "x"
    )
    assert "did you mean 'imma'" in refused(capsys, "protect", model, "--method", "imma2")
    run("protect", model, *rest, *settings, "--output_dir", tmp_path / "immune")
    written = json.loads((tmp_path / "immune" / "apdm.json").read_text())
    assert (written["method"], written["protection"]["kind"]) == ("imma", "IMMA")
    assert written["protection"]["simulated"]["learning_rate"] == 1e-3
    assert "IMMA (ECCV 2024)" in (tmp_path / "immune" / "README.md").read_text()
    before, after = (load_file(it / "unet" / WEIGHTS) for it in (model, tmp_path / "immune"))
    changed = [name for name, weight in after.items() if not torch.equal(weight, before[name])]
    assert changed
    assert all(".attn" in name for name in changed)


def test_the_class_images_of_an_attack_come_from_the_model_that_is_named(
    model: Path, photos: Path, tmp_path: Path, tiny: StableDiffusion
) -> None:
    """Two attacks that differ in nothing but who drew their class images end in different weights."""
    with torch.no_grad():
        other = tiny.copy()
        for weight in other.network.parameters():
            weight.mul_(1.5)
    other.save(tmp_path / "foreign")
    quick = ("--num_class_images", "2", "--num_inference_steps", "2", "--max_train_steps", "1")
    named = {"own": (), "same": ("--class_model", model), "other": ("--class_model", tmp_path / "foreign")}
    found = {}
    for name, choice in named.items():
        subject = ("--subject", photos, "--class_noun", "dog", "--learning_rate", "1e-3")
        run("personalize", model, *subject, *quick, *choice, "--output_dir", tmp_path / name)
        found[name] = (tmp_path / name / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    assert found["own"] == found["same"] != found["other"]


@pytest.mark.parametrize(
    ("method", "made"),
    [
        ("lora", "pytorch_lora_weights.safetensors"),
        ("textual-inversion", "learned_embeds.safetensors"),
        ("custom-diffusion", "model_index.json"),
    ],
)
def test_every_attack_leaves_what_its_field_shares(
    model: Path, photos: Path, tmp_path: Path, method: str, made: str
) -> None:
    quick = ("--num_class_images", "2", "--num_inference_steps", "2", "--max_train_steps", "1")
    subject = ("--subject", photos, "--class_noun", "dog")
    run("personalize", model, "--method", method, *subject, *quick, "--output_dir", tmp_path / "out")
    assert (tmp_path / "out" / made).is_file()
    assert (tmp_path / "out" / "unet").exists() == (made == "model_index.json")
    settings = json.loads((tmp_path / "out" / "apdm.json").read_text())
    assert settings["subject"]["identifier"] == ("sks" if method == "lora" else "<new1>")
    assert f"tags: [apdm, attacked, {method}]" in (tmp_path / "out" / "README.md").read_text()


def test_a_report_needs_a_control(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rest = ("--subject", photos, "--class_noun", "dog", "--output_dir", tmp_path / "report")
    assert "needs --control" in refused(capsys, "evaluate", "--generated", photos, *rest)
    assert not (tmp_path / "report").exists()


def test_an_estimate_needs_no_photos(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ("--num_class_images", "2", "--num_inference_steps", "3", "--photos", "2")
    run("estimate", model, *quick, "--outer_steps", "1000", "--inner_steps", "2")
    said = capsys.readouterr().out
    assert "0.2 MB network" in said
    assert "24 forward to draw the class and the positives" in said
    assert "14,000 forward and 10,000 backward to protect" in said
    run("estimate", model, *quick, "--method", "imma", "--max_train_steps", "7")
    assert " 14 forward and 14 backward" in capsys.readouterr().out
    lean = ("--gradient_checkpointing", "--offload", "--mixed_precision", "bf16")
    run("estimate", model, *quick, "--inner_steps", "2", *lean)
    assert "14,000 forward and" not in capsys.readouterr().out
    assert "offloaded" in refused(capsys, "estimate", model, "--method", "ascent", "--offload")
    assert "photos is 0: give 1" in refused(capsys, "estimate", model, "--photos", "0")
    assert "resolution is 9: give a multiple" in refused(capsys, "estimate", model, "--resolution", "9")


@pytest.fixture
def alone(photos: Path, tmp_path: Path) -> Path:
    """A folder with one photo."""
    folder = tmp_path / "alone"
    folder.mkdir()
    shutil.copy(min(photos.glob("*.png")), folder)
    return folder


def test_one_photo_in_all_sets_is_refused(
    photos: Path, alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = ("--subject", alone, "--class_noun", "dog", "--same_images", "--generated", photos)
    assert "one photo" in refused(capsys, "evaluate", *rest)


def test_sets_that_differ_in_number_make_no_report(
    photos: Path, alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subject = ("--subject", photos, "--class_noun", "dog")
    pictures = ("--generated", photos, "--control", alone, "--class_images", photos)
    said = refused(capsys, "evaluate", *subject, *pictures, "--output_dir", tmp_path / "report")
    assert "differ in their number" in said
    assert not (tmp_path / "report").exists()


def test_another_resolution_than_the_models_own(model: Path, photos: Path, tmp_path: Path) -> None:
    subject = ("--subject", photos, "--class_noun", "dog", "--resolution", "32")
    quick = ("--num_class_images", "2", "--num_inference_steps", "1")
    short = ("--outer_steps", "1", "--inner_steps", "1")
    run("protect", model, *subject, *quick, *short, "--output_dir", tmp_path / "protected")
    run(
        "personalize",
        model,
        *subject,
        *quick,
        "--max_train_steps",
        "1",
        "--output_dir",
        tmp_path / "attacked",
    )
    assert all((tmp_path / made / "model_index.json").is_file() for made in ("protected", "attacked"))


@pytest.mark.parametrize("verb", ["protect", "personalize", "cloak"])
def test_a_resolution_that_the_model_does_not_take_is_refused_before_anything_is_drawn(
    verb: str,
    model: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As Flux and Stable Diffusion 3 are, whose networks take several latents as one."""
    from apdm.backbones.pipeline import PipelineBackbone  # loads diffusers

    monkeypatch.setattr(PipelineBackbone, "patch", lambda _: 8)
    monkeypatch.setattr(PipelineBackbone, "generate", None)
    given = (model, "--subject", photos, "--class_noun", "dog", "--resolution", "24")
    said = refused(capsys, verb, *given, "--output_dir", tmp_path / "made")
    assert f"resolution is 24: give a multiple of 16 for '{model}'" in said


def test_the_model_is_run_as_the_flags_say(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    assert load_file(tmp_path / "protected" / "unet" / WEIGHTS)["conv_in.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("protect", "MODEL", "SUBJECT", "--resolution", "-1"), "resolution is -1: give a multiple of 8"),
        (("personalize", "MODEL", "SUBJECT", "--resolution", "33"), "resolution is 33: give a multiple of 8"),
        (
            ("personalize", "MODEL", "SUBJECT", "--class_model", "toybox", "--no-with_prior_preservation"),
            "--class_model has nothing to draw",
        ),
        (
            ("protect", "MODEL", "SUBJECT", "--mixed_precision", "fp16"),
            "a look-ahead's are not: give --mixed_precision bf16",
        ),
        (
            ("protect", "MODEL", "SUBJECT", "--method", "imma", "--offload"),
            "IMMA (ECCV 2024) keeps nothing that could be offloaded: leave out --offload",
        ),
        (("personalize", "MODEL", "SUBJECT", "--offload"), "an attack keeps nothing that could be offloaded"),
        (("personalize", "MODEL", "SUBJECT", "--method", "dreamboth"), "did you mean 'dreambooth'?"),
        (
            ("personalize", "MODEL", "SUBJECT", "--method", "textual-inversion", "--identifier", "sks"),
            "the prompt lacks the new word '<new1>': give --identifier '<new1>'",
        ),
        (("generate", "MODEL", "--prompt", "x", "--prompts_file", "y"), "both --prompt and --prompts_file"),
        (("evaluate", "SUBJECT", "--generated", "PHOTOS", "--resolution", "0"), "resolution is 0: give 1"),
        (("evaluate", "SUBJECT", "--generated", "PHOTOS", "--judge", "nobody"), "there is no judge 'nobody'"),
        (
            ("evaluate", "SUBJECT", "--generated", "PHOTOS", "--output_file", "."),
            "--output_file . is a folder",
        ),
        (("toybox", "render", "--class_noun", "dog", "--seed", "500001", "--output_dir", __file__), __file__),
    ],
)
def test_what_cannot_be_used_is_one_line(
    arguments: tuple[str, ...],
    said: str,
    model: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = {"MODEL": (model,), "SUBJECT": ("--subject", photos, "--class_noun", "dog"), "PHOTOS": (photos,)}
    given = [str(word) for argument in arguments for word in words.get(argument, (argument,))]
    made = () if arguments[0] in ("evaluate", "toybox") else ("--output_dir", str(tmp_path / "made"))
    with pytest.raises(SystemExit) as stop:
        run(*given, *made)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert said in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize("verb", ["protect", "personalize", "estimate"])
def test_8_bit_adam_without_its_package_is_one_line(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said before anything is looked for: neither model nor photos are there."""
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    nowhere = str(tmp_path / "nowhere")
    job = ("--subject", nowhere, "--class_noun", "dog", "--output_dir", nowhere)
    given = (verb, nowhere, "--use_8bit_adam", *(job if verb != "estimate" else ()))
    assert "8-bit Adam needs bitsandbytes: pip install 'apdm[8bit]'" in refused(capsys, *given)


def test_a_full_disk_is_one_line(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of errors without a name, only those of a disk that takes no more."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("apdm.cli.generate.save_png", full)
    arguments = ("generate", model, "--prompt", "a", "--num_images", "1", "--num_inference_steps", "1")
    said = failed(capsys, *arguments, "--output_dir", tmp_path / "out")
    assert said[-1] == "apdm generate: the disk cannot be used: No space left on device"


def test_a_disk_that_fills_up_while_saving_leaves_no_model(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    arguments = ("personalize", model, "--subject", photos, "--class_noun", "dog", "--max_train_steps", "1")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        said = failed(
            capsys, *arguments, "--no-with_prior_preservation", "--output_dir", tmp_path / "attacked"
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "attacked' could not be written" in said[-1]
    assert [path.name for path in (tmp_path / "attacked").iterdir()] == ["log.jsonl"]
    assert not list(tmp_path.glob(".*"))
