"""`accelerate launch`: one model and one log from several processes, and one line when something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from apdm.cli import several
from apdm.cli.main import main
from apdm.cli.several import one_of_several, refuse_idle
from apdm.errors import InputError
from apdm.personalizers.dreambooth import DreamBooth
from apdm.personalizers.textual_inversion import TextualInversion
from apdm.protectors.apdm import APDM
from apdm.protectors.imma import IMMA

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion

LAUNCH = (
    *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
    *("--main_process_port", "0", "-m", "apdm"),
)

LAUNCHED = {  # what a launcher says to the second of two
    "WORLD_SIZE": "2",
    "RANK": "1",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}


def protection(model: Path, photos: Path, folder: Path) -> list[str]:
    settings = {
        "subject": photos,
        "class_noun": "dog",
        "num_class_images": 3,
        "num_inference_steps": 1,
        "outer_steps": 3,
        "inner_steps": 2,
        "learning_rate": 1e-5,
        "simulated.learning_rate": 1e-5,
        "restart_every": 3,
        "checkpointing_steps": 1,
        "validation_prompt": "a photo of dog",
        "output_dir": folder,
    }
    return ["protect", str(model), *(f"--{name}={value}" for name, value in settings.items())]


def test_two_processes_write_what_one_writes(tiny: StableDiffusion, tmp_path: Path) -> None:
    """To the last bits of a float; and they go on from a checkpoint of one."""
    from safetensors.torch import load_file

    model, photos, alone, together = (tmp_path / name for name in ("model", "dog", "alone", "together"))
    tiny.save(model)
    render = ["toybox", "render", "--class_noun", "dog", "--seed", "500001", "--views", "3"]
    main([*render, "--output_dir", str(photos)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apdm.benchmark.checkpoints.Checkpoints.discard", lambda self: None)
        main(protection(model, photos, alone))
    together.mkdir()
    (alone / "checkpoint-2").rename(together / "checkpoint-2")
    run = [*protection(model, photos, together), "--resume_from_checkpoint", "latest"]
    done = subprocess.run([*LAUNCH, *run], capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"protected model in {together}\n"
    weights = "unet/diffusion_pytorch_model.safetensors"
    one, two, before = (load_file(folder / weights) for folder in (alone, together, model))
    apart = max(float((one[name] - two[name]).abs().max()) for name in one)
    moved = max(float((one[name] - before[name]).abs().max()) for name in one)
    assert apart < 0.1 * moved
    log = [json.loads(line) for line in (together / "log.jsonl").open()]
    told = [(line["task"], line["done"], line["total"]) for line in log]
    assert told[:2] == [("class images", 0, 1), ("class images", 1, 1)]  # the first process's share of three
    assert told[-2:] == [("protect", 0, 3), ("protect", 3, 3)]
    assert [path.name for path in (together / "samples").iterdir()] == ["step_00003.png"]
    assert not list(together.glob("checkpoint-*"))


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)


def test_a_verb_whose_work_is_not_shared_is_refused_by_the_first(
    second_of_two: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other one leaves it the time to say so."""
    waited: list[int] = []
    monkeypatch.setattr(several.time, "sleep", waited.append)
    with pytest.raises(InputError, match="generate does not share its work, and 2 processes were started"):
        one_of_several("generate").__enter__()
    assert waited == [several.GRACE]
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(SystemExit, match="2"):
        main(["generate", "toybox"])
    assert "start one, without a launcher; protect and personalize share" in capsys.readouterr().err
    assert waited == [several.GRACE]


@pytest.mark.parametrize("missing", ["RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_without_all_that_a_launcher_says_a_process_is_alone(
    second_of_two: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    """As in a container to which its cluster has told WORLD_SIZE."""
    monkeypatch.delenv(missing)
    with pytest.raises(SystemExit, match="2"):
        main(["generate", "nowhere", "--prompt", "a dog", "--output_dir", "nowhere"])
    assert "model folder 'nowhere' does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT"])
def test_what_a_launcher_says_wrongly_is_one_line(
    second_of_two: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setenv(name, "two")
    with pytest.raises(SystemExit, match="2"):
        main(["generate", "nowhere"])
    assert f"{name} is 'two': unset it, or use accelerate launch" in capsys.readouterr().err


def test_another_than_the_first_is_silent(
    second_of_two: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from contextlib import nullcontext

    monkeypatch.setattr(several, "joined", nullcontext)
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        with one_of_several("protect"):
            print(f"said by {rank}")
    assert capsys.readouterr().out == "said by 0\n"
    with pytest.raises(SystemExit, match="130"), one_of_several("protect"):
        raise KeyboardInterrupt


@dataclass(frozen=True)
class NoBatch:
    """Settings of a method that has none."""


def test_too_many_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**LAUNCHED, "WORLD_SIZE": "5"}.items():
        monkeypatch.setenv(name, value)
    refuse_idle(NoBatch())
    refuse_idle(DreamBooth(train_batch_size=3))
    with pytest.raises(InputError, match="train_batch_size is 2, too few for 5 processes: give 3 or more"):
        refuse_idle(DreamBooth(train_batch_size=2))
    with pytest.raises(InputError, match=r"simulated\.train_batch_size is 1, too few for 5 processes"):
        refuse_idle(APDM(train_batch_size=3))
    monkeypatch.setenv("WORLD_SIZE", "2")
    refuse_idle(APDM())
    monkeypatch.setenv("WORLD_SIZE", "4")  # what the README says of four
    refuse_idle(APDM(train_batch_size=2, simulated=DreamBooth(train_batch_size=2)))


def test_a_place_without_a_class_image_is_one_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)
    refuse_idle(IMMA(num_class_images=1))
    alone = "train_batch_size is 1, too few for 2 processes: give 2 or more"
    with pytest.raises(InputError, match=f"^{alone}"):
        refuse_idle(DreamBooth(), prior=False)
    with pytest.raises(InputError, match=f"^{alone}"):
        refuse_idle(TextualInversion(train_batch_size=1))
    for settings in (IMMA(num_class_images=0), APDM(simulated=TextualInversion(train_batch_size=1))):
        with pytest.raises(InputError, match=rf"simulated\.{alone}"):
            refuse_idle(settings)
