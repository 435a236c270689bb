"""`apdm` itself: what it says of its verbs, the main job from verb to verb, and a full disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from apdm.cli import main
from apdm.cli.main import VERBS


def test_help_lists_every_verb(run: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    run()
    said = capsys.readouterr().out
    assert all(f"  {verb} " in said for verb in VERBS)


@pytest.mark.parametrize("verb", [v for v in VERBS if v not in ("toybox", "datasets")])
def test_help_of_each_verb_ends_with_an_example(
    run: Callable[..., None], verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(verb, "--help")
    assert stop.value.code == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("Example: ")
    assert f"apdm {verb}" in last


def test_the_version_is_the_installed_ones(
    run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    run("--version")
    assert capsys.readouterr().out == f"apdm {version('apdm')}\n"


def test_unknown_verb_offers_the_nearest(refused: Callable[..., str]) -> None:
    assert "did you mean 'protect'?" in refused("protct")


def test_unknown_flag_is_named(refused: Callable[..., str]) -> None:
    assert "--subjct" in refused("protect", "toybox", "--subjct", "x")


def test_protect_attack_generate_evaluate(
    run: Callable[..., None], model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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


def test_a_full_disk_is_one_line(
    failed: Callable[..., list[str]], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of errors without a name, only those of a disk that takes no more."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("apdm.cli.generate.save_png", full)
    arguments = ("generate", model, "--prompt", "a", "--num_images", "1", "--num_inference_steps", "1")
    said = failed(*arguments, "--output_dir", tmp_path / "out")
    assert said[-1] == "apdm generate: the disk cannot be used: No space left on device"


def unread(code: str, unbuffered: str = "") -> tuple[int, str]:
    """Runs Python's code with a closed pipe for its output; its exit code and what it said of errors."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", f"import sys; from apdm.cli import main\n{code}"]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(command, env=environment, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("run", ["print('much')", "sys.exit(print('help'))"])
def test_who_has_read_enough_ends_it_without_a_word(run: str, unbuffered: str) -> None:
    """As `apdm bench --dry_run | head` does, and `apdm protect --help | head`."""
    assert unread(f"main._run = lambda *_: {run}; main.main(['x'])", unbuffered) == (141, "")
    assert unread("main.main(['--help'])", unbuffered) == (141, "")


WRONG = """
def run(*_):
    print("a line of the photos, say, which waits in a buffer as the error comes")
    raise main.InputError("it is wrong", fix="mend it")
main._run = run
main.main(["x"])
"""


def test_what_was_wrong_is_said_although_nobody_reads_what_came_before() -> None:
    assert unread(WRONG) == (2, "apdm x: it is wrong: mend it\n")


def test_another_pipe_that_breaks_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that to a process which died."""

    def broken(*_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(main, "_run", broken)
    with pytest.raises(BrokenPipeError):
        main.main(["demo"])
