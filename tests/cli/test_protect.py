"""A protection that is killed goes on where it was, and what cannot go on says so in a line."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from apdm.benchmark import checkpoints
from apdm.cli import protect
from apdm.cli.main import main

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion

Kill = Callable[..., int]

# Runs `apdm ARGUMENTS` in a child that is killed: after so many seconds, or at the nth call of a function.
# The libraries are loaded once, before any fork.
KILLER = """
import importlib, json, os, signal, sys, time
import apdm.backbones.tiny, apdm.cli.protect
from apdm.cli.main import main

def arm(function, nth):
    module, _, name = function.rpartition(".")
    module = importlib.import_module(module)
    wrapped, calls = getattr(module, name), []
    def counted(*given, **named):
        calls.append(name)
        if len(calls) == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return wrapped(*given, **named)
    setattr(module, name, counted)

for line in sys.stdin:
    seconds, function, nth, arguments = json.loads(line)
    child = os.fork()
    if not child:
        os.dup2(2, 1)  # what it says is no answer
        if function:
            arm(function, nth)
        main(arguments)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def kill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kill]:
    """Runs a command to its end or until it is killed; returns its exit code, -9 if it was."""
    if sys.platform == "win32":
        pytest.skip("forks")
    log = (tmp_path_factory.mktemp("killer") / "stderr").open("w")
    command = [sys.executable, "-c", KILLER]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=log, text=True) as killer:
        assert killer.stdin is not None
        assert killer.stdout is not None

        def ask(*words: str | Path, after: float | None = None, at: str | None = None, nth: int = 1) -> int:
            print(json.dumps([after, at, nth, [*map(str, words)]]), file=killer.stdin, flush=True)
            return int(killer.stdout.readline())

        yield ask
        killer.stdin.close()


@pytest.fixture(scope="module")
def finished(job: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `job` makes when nothing stops it."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    main([*job, "--output_dir", str(folder)])
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """All that a run leaves, times aside."""
    found = {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
    assert found.pop("log.jsonl")
    return found


def test_a_finished_run_keeps_no_checkpoint(finished: Path) -> None:
    """They hold weights that are protected less, and a simulated attack that has learnt the subject."""
    assert not [path for path in finished.rglob("*") if "checkpoint" in path.name or ".part" in path.name]
    assert "unet/diffusion_pytorch_model.safetensors" in files(finished)
    assert json.loads(files(finished)["apdm.json"])["resume_from_checkpoint"] is None


# In the fifth look-ahead; with the second checkpoint half written; with half of the model in its place.
KILLS = [
    ("apdm.protectors.l2p.finite", 18, {"checkpoint-2", "checkpoint-4"}),
    ("apdm.benchmark.checkpoints.on_disk", 9, {"checkpoint-2", ".part"}),
    ("apdm.benchmark.store.discard", 4, {"checkpoint-4", "checkpoint-6", "README.md"}),
]


@pytest.mark.parametrize(("at", "nth", "left"), KILLS)
def test_a_run_that_was_killed_ends_as_one_that_was_not(
    kill: Kill, job: list[str], finished: Path, tmp_path: Path, at: str, nth: int, left: set[str]
) -> None:
    run = [*job, "--output_dir", str(tmp_path / "run")]
    assert kill(*run, at=at, nth=nth) == -signal.SIGKILL
    there = {path.suffix if path.suffix == ".part" else path.name for path in (tmp_path / "run").iterdir()}
    assert left <= there
    assert "model_index.json" not in there
    main([*run, "--resume_from_checkpoint", "latest"])
    assert files(tmp_path / "run") == files(finished)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.slow
def test_it_does_at_fifty_moments(kill: Kill, job: list[str], finished: Path, tmp_path: Path) -> None:
    """Killed twice each: at any time between the start and the end, and again while it goes on."""
    kill(*job, "--output_dir", tmp_path / "first", after=0)  # waits for the libraries
    started = time.monotonic()
    assert kill(*job, "--output_dir", tmp_path / "timed") == 0
    lasts, draws = time.monotonic() - started, random.Random(0)
    killed = 0
    for number in range(50):
        folder = tmp_path / f"run-{number}"
        run = [*job, "--output_dir", str(folder), "--resume_from_checkpoint", "latest"]
        for after in (draws.uniform(0, 0.9) * lasts, draws.uniform(0, 0.9) * lasts, None):
            finished_before = (folder / "model_index.json").is_file() and not checkpoints.kept(folder)
            code = kill(*run, after=after)
            killed += code == -signal.SIGKILL
        assert code == (2 if finished_before else 0)
        assert files(folder) == files(finished)
        assert {path.name for path in tmp_path.iterdir()} <= {"first", "timed", folder.name}
        shutil.rmtree(folder)
    assert killed >= 50


@pytest.fixture
def stopped(job: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that was stopped with two checkpoints."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.Checkpoints, "discard", stop)
    with pytest.raises(SystemExit):
        main([*job, "--outer_steps", "4", "--output_dir", str(tmp_path / "run")])
    monkeypatch.undo()
    assert [place.name for place in checkpoints.kept(tmp_path / "run")] == ["checkpoint-2", "checkpoint-4"]
    (tmp_path / "run" / "model_index.json").unlink()
    return tmp_path / "run"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in arguments])
    assert stop.value.code == 2
    (said,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("apdm"))
    return said


def test_what_does_not_fit_a_checkpoint_is_refused(
    job: list[str],
    stopped: Path,
    tmp_path: Path,
    tiny: StableDiffusion,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    again = ["--outer_steps", "4", "--output_dir", str(stopped), "--resume_from_checkpoint"]
    before = sorted(stopped.rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr(protect, "load", None)  # neither settings nor photos need a model
        said = refused(capsys, *job, *again, "latest", "--beta", "2")
        assert "made with protection.beta 1.0, not 2.0" in said
    assert "checkpoint-4 was made with protection.outer_steps 4, not 6" in refused(
        capsys, *job, *again, "latest", "--outer_steps", "6"
    )
    assert "made with instance_prompt" in refused(capsys, *job, *again, "latest", "--identifier", "zwx")
    (tmp_path / "one").mkdir()
    shutil.copy(max((Path(job[2].partition("=")[2])).glob("*.png")), tmp_path / "one" / "a.png")
    photos = ["--subject", str(tmp_path / "one"), "--same_images"]
    assert "was made with other photos" in refused(capsys, *job, *again, "latest", *photos)
    other = tiny.copy()
    other.network.requires_grad_(False).conv_in.bias.add_(1)
    other.save(tmp_path / "model")
    moved = [job[0], str(tmp_path / "model"), *job[2:]]
    assert "made from another model's weights" in refused(capsys, *moved, *again, "latest")
    assert "no checkpoint 'checkpoint-9': give latest" in refused(capsys, *job, *again, "checkpoint-9")
    said = refused(capsys, *job, "--output_dir", stopped)
    assert "holds checkpoints: add --resume_from_checkpoint latest, or give a new one" in said
    new = ["--output_dir", tmp_path / "new", "--resume_from_checkpoint", "latets"]
    assert "no checkpoint 'latets'" in refused(capsys, *job, *new)
    assert not (tmp_path / "new").exists()
    assert sorted(stopped.rglob("*")) == before


def test_a_named_checkpoint_goes_on_there_or_elsewhere(
    job: list[str], stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end = (stopped / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    short = [*job, "--outer_steps", "4", "--output_dir"]
    for folder, name in ((tmp_path / "elsewhere", stopped / "checkpoint-2"), (stopped, "checkpoint-2")):
        main([*short, str(folder), "--resume_from_checkpoint", str(name)])
        assert (folder / "unet" / "diffusion_pytorch_model.safetensors").read_bytes() == end
        log = [json.loads(line) for line in (folder / "log.jsonl").open()]
        assert [line["done"] for line in log if line["task"] == "protect"][-3:] == [0, 3, 4]
    assert "holds a finished model" in refused(capsys, *short, stopped, "--resume_from_checkpoint", "latest")


def test_8_bits_are_taken_up_again_and_by_themselves_alone(
    eight_bit,
    job: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = [*job, "--outer_steps", "4", "--use_8bit_adam", "--output_dir", str(tmp_path / "run")]
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "discard", lambda _: None)
        main(run)
    made = tmp_path / "run" / "unet" / "diffusion_pytorch_model.safetensors"
    end = made.read_bytes()
    (tmp_path / "run" / "model_index.json").unlink()
    again = ("--resume_from_checkpoint", "checkpoint-2")
    said = refused(capsys, *(word for word in run if word != "--use_8bit_adam"), *again)
    assert "checkpoint-2 was made with use_8bit_adam True, not False" in said
    main([*run, *again])
    assert made.read_bytes() == end


def test_latest_begins_at_the_start_where_there_is_none(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So a queue may give it always. What is in the folder must be this command's."""
    run = [*job, "--outer_steps", "1", "--output_dir", str(tmp_path), "--resume_from_checkpoint", "latest"]
    (tmp_path / "mine.txt").write_text("mine")
    assert "is not empty" in refused(capsys, *run)
    (tmp_path / "mine.txt").rename(tmp_path / "log.jsonl")
    main(run)
    assert (tmp_path / "model_index.json").is_file()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            ("--learning_rate", "1e18"),
            "the simulated attack of look-ahead 2 diverged at step 1, its loss is nan: lower its learning "
            "rate; the last checkpoint before it is OUT/checkpoint-1",
        ),
        (
            ("--simulated.learning_rate", "1e38"),
            "the protection in look-ahead 1 diverged at step 1, its loss is nan: lower its learning rate; "
            "there is no checkpoint before it",
        ),
        (
            ("--learning_rate", "1e38", "--outer_steps", "1", "--checkpointing_steps", "0"),
            "protected conv_in.weight is not finite after step 1: lower the learning rate",
        ),
    ],
)
def test_a_protection_that_diverges_says_which_loss_and_leaves_nothing_half_written(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: tuple[str, ...], said: str
) -> None:
    run = [*job, "--checkpointing_steps", "1", *settings, "--output_dir", str(tmp_path / "out")]
    assert said.replace("OUT", str(tmp_path / "out")) in refused(capsys, *run)
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left <= {"log.jsonl", "positives", "checkpoint-1"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_photos_of_any_subject_are_those_of_the_checkpoint(
    job: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in ("500002", "500003"):
        main(["toybox", "render", "--class_noun=dog", f"--seed={seed}", f"--output_dir={tmp_path / seed}"])
    run = [*job, "--outer_steps=2", f"--output_dir={tmp_path / 'run'}", "--also"]
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "discard", lambda _: None)
        main([*run, str(tmp_path / "500002"), "dog"])
    (tmp_path / "run" / "model_index.json").unlink()
    other = [*run, str(tmp_path / "500003"), "dog", "--resume_from_checkpoint=latest"]
    assert "was made with other photos" in refused(capsys, *other)


def test_a_side_that_the_model_does_not_take_leaves_the_folder_empty(
    job: list[str],
    tiny: StableDiffusion,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """So the command can be given again."""
    model = tiny.copy()
    model.step, out = 48, tmp_path / "out"
    monkeypatch.setattr(protect, "load", lambda *_: model)
    assert "give a multiple of 48" in refused(capsys, *job, "--resolution=64", f"--output_dir={out}")
    assert not list(out.iterdir())
