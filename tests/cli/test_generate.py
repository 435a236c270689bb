"""`apdm generate`: a picture for each prompt and number, where it belongs, whatever it is drawn with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from apdm.cli import generate
from apdm.cli.main import main
from apdm.pixels import from_image, grid, load, read
from apdm.seeding import derive

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion

CAPTIONS = {"coco_7": "a red dog", "draw-2": "a cat"}


def run(model: Path, *arguments: str | Path) -> None:
    main(["generate", str(model), "--num_inference_steps", "1", *map(str, arguments)])


def test_captions_have_a_folder_each(model: Path, tmp_path: Path) -> None:
    """Batches of three cross from one caption to the next; a folder's pictures are counted from 0."""
    file, out = tmp_path / "captions.json", tmp_path / "out"
    file.write_text(json.dumps([{"id": id, "caption": said} for id, said in CAPTIONS.items()]))
    asked = ("--prompts_file", file, "--num_images", "2", "--sample_batch_size", "3")
    run(model, *asked, "--output_dir", out)
    drawn = {place.name: sorted(p.name for p in place.iterdir()) for place in out.iterdir() if place.is_dir()}
    assert drawn == {name: ["picture_00000.png", "picture_00001.png"] for name in CAPTIONS}
    settings = json.loads((out / "apdm.json").read_text())
    assert settings["prompt"] == [*CAPTIONS.values()]
    assert str(tmp_path) not in json.dumps(settings)


def test_pictures_of_prompts_lie_side_by_side(
    model: Path, tiny: StableDiffusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[str, int]] = []
    generate = type(tiny).generate

    def listened(self, prompts, seeds, sampling):  # type: ignore[no-untyped-def]
        heard.extend(zip(prompts, seeds, strict=True))
        return generate(self, prompts, seeds, sampling)

    monkeypatch.setattr(type(tiny), "generate", listened)
    out, prompts = tmp_path / "out", ("a dog", "a cat", "red")
    run(model, "--prompt", *prompts, "--num_images", "2", "--sample_batch_size", "4", "--output_dir", out)
    repeated = [prompt for prompt in prompts for _ in range(2)]
    assert heard == [(prompt, derive(0, "generate", n)) for n, prompt in enumerate(repeated)]
    paths = [out / f"picture_{number:05d}.png" for number in range(6)]
    assert sorted(out.glob("*.png")) == paths
    (whole,) = (out / "grid").iterdir()
    assert torch.equal(from_image(read(whole).image), grid(load(paths, 16), columns=2))
    steps = [json.loads(line) for line in (out / "log.jsonl").open()]
    assert [(it["done"], it["total"]) for it in steps] == [(0, 6), (4, 6), (6, 6)]


def test_the_grid_has_the_first_pictures_alone(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands would fill the memory."""
    monkeypatch.setattr(generate, "ON_GRID", 3)
    run(model, "--prompt", "a dog", "a cat", "--num_images", "2", "--output_dir", tmp_path / "out")
    run(model, "--prompt", "a dog", "--num_images", "4", "--output_dir", tmp_path / "one")
    for name, columns in (("out", 2), ("one", 3)):
        paths = sorted((tmp_path / name).glob("*.png"))
        assert len(paths) == 4
        whole = from_image(read(tmp_path / name / "grid" / "grid_00000.png").image)
        assert torch.equal(whole, grid(load(paths[:3], 16), columns))


def test_the_settings_are_written_before_the_grid(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which takes memory; without them no measure knows the pictures' prompts."""
    monkeypatch.setattr(generate, "grid", None)
    with pytest.raises(TypeError):
        run(model, "--prompt", "a dog", "--num_images", "1", "--output_dir", tmp_path / "out")
    assert (tmp_path / "out" / "apdm.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--prompt", "a dog", "--num_inference_steps", "1001"), "num_inference_steps is 1001: give 1000 or"),
        (("--prompt", "a dog", "--guidance_scale", "nan"), "guidance_scale is nan: give 0 or more"),
        (("--prompt", "a dog", "--guidance_scale", "inf"), "guidance_scale is inf"),
        (("--prompt", "a dog", "--guidance_scale", "-1"), "guidance_scale is -1.0"),
        (("--prompt", "a dog", "--num_images", "0"), "num_images is 0: give 1"),
        (("--prompt", "a dog", "--num_inference_steps", "0"), "num_inference_steps is 0"),
        (("--prompt", "a dog", "--device", "nonsense"), "device 'nonsense' cannot be used"),
        (("--prompt", "x", "--prompts_file", "y"), "both --prompt and --prompts_file"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    arguments: tuple[str, ...], said: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    assert said in refused("generate", "toybox", *arguments, "--output_dir", tmp_path / "out")


def test_an_adapter_is_put_on_the_model(
    model: Path, photos: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    attack = ("--method", "lora", "--learning_rate", "0.1", "--max_train_steps", "2")
    subject = ("--subject", photos, "--class_noun", "dog", "--no_with_prior_preservation")
    main(["personalize", *map(str, (model, *attack, *subject, "--output_dir", tmp_path / "learnt"))])
    asked = ("--prompt", "a dog", "--num_images", "1")
    run(model, *asked, "--output_dir", tmp_path / "without")
    run(model, *asked, "--adapter", tmp_path / "learnt", "--output_dir", tmp_path / "with")
    one, other = (load([tmp_path / name / "picture_00000.png"], 16) for name in ("without", "with"))
    assert not torch.equal(one, other)
    assert json.loads((tmp_path / "with" / "apdm.json").read_text())["adapter"] == "learnt"
    rest = ("--adapter", photos, "--output_dir", tmp_path / "no")
    assert "is no folder with" in refused("generate", model, *asked, *rest)
    assert not (tmp_path / "no").exists()


def test_an_adapter_of_another_model_leaves_no_folder(
    model: Path, photos: Path, tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a folder that is not new is refused before any model is loaded."""
    (tmp_path / "other").mkdir()
    save_file(
        {f"unet.none.lora_{it}.weight": torch.ones(1, 1) for it in "AB"},
        tmp_path / "other" / "pytorch_lora_weights.safetensors",
    )
    asked = (model, "--prompt", "a dog", "--adapter", tmp_path / "other", "--output_dir")
    assert "does not fit the model" in refused("generate", *asked, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(generate, "load", None)
    assert "is not empty" in refused("generate", *asked, photos)
