"""Flags from a file are those of the command line, which counts instead."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import pytest
import tyro

from apdm.cli.arguments import choice, read
from apdm.cli.config import with_config
from apdm.cli.main import main
from apdm.errors import InputError

Size = TypeVar("Size", bound=int)
TOML = """
model = "some/model"
method = "lora"
seed = -3
words = ["a dog", "a cat"]
quiet = true
loud = false
[simulated]
learning_rate = 1e-4
flip = true
crop = false
"""
YAML = """
model: some/model
method: lora
seed: -3
words: [a dog, a cat]
quiet: true
loud: false
width: null
simulated: {learning_rate: 1.0e-4, flip: true, crop: false}
"""


@dataclass(frozen=True)
class Simulated:
    """What is simulated."""

    learning_rate: float = 1.0
    """How fast."""
    flip: bool = False
    """Mirrored."""
    crop: bool = True
    """Cut."""


@dataclass(frozen=True)
class Wanted:
    """Something."""

    model: tyro.conf.Positional[str]
    """Whose."""
    words: tuple[str, ...] = ()
    """Said."""
    method: str = "dreambooth"
    """How."""
    seed: int = 0
    """Of every draw."""
    width: int | None = 3
    """How wide."""
    quiet: bool = False
    """Say nothing."""
    loud: bool = True
    """Say all."""
    simulated: Simulated = Simulated()


def wanted(*arguments: str) -> Wanted:
    return read(Wanted, "verb", with_config(arguments), "example")


def test_a_file_says_what_flags_say(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(YAML)
    simulated = Simulated(1e-4, flip=True, crop=False)
    expected = Wanted("some/model", ("a dog", "a cat"), "lora", -3, None, True, False, simulated)
    for words in (["--config", str(tmp_path / "run.yaml")], [f"--config={tmp_path / 'run.yaml'}"]):
        assert wanted(*words) == expected
    (tmp_path / "run.toml").write_text(TOML)
    found = wanted("--width", "None", "--config", str(tmp_path / "run.toml"))
    assert found == expected


def test_what_is_typed_counts(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(YAML)
    words = [
        "mine",
        "--seed",
        "7",
        "--config",
        str(tmp_path / "run.yaml"),
        "--simulated.no_flip",
        "--no_quiet",
    ]
    found = wanted(*words, "--method=dreambooth")
    assert (found.model, found.seed, found.method, found.simulated.flip) == ("mine", 7, "dreambooth", False)
    assert not found.quiet
    assert choice(with_config(words), "method", ("lora", "dreambooth"), "dreambooth") == "lora"


def test_what_is_typed_without_a_flag_counts_wherever_it_stands(tmp_path: Path) -> None:
    """And a file that ends in a list leaves it alone."""
    (tmp_path / "run.yaml").write_text("model: some/model\nwords: [a dog]\n")
    config = ["--config", str(tmp_path / "run.yaml")]
    for words in (["mine", "--seed", "7"], ["--seed", "7", "mine"]):
        for typed in ([*words, *config], [*config, *words]):
            assert wanted(*typed) == Wanted("mine", ("a dog",), seed=7)


def test_what_has_no_flag_may_stand_in_the_file_beside_what_is_typed(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Export(Generic[Size]):
        model: tyro.conf.Positional[str]
        output: tyro.conf.Positional[Path]
        size: Size
        half: bool = False

    (tmp_path / "run.yaml").write_text("output: there\nhalf: true\n")
    words = with_config(["--config", str(tmp_path / "run.yaml"), "mine", "--size=3"])
    assert read(Export[int], "export", words, "example") == Export("mine", Path("there"), 3, True)


def test_the_model_of_a_verb_that_has_a_flag_for_it_is_its_own(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Bench:
        scenario: tyro.conf.Positional[Path]
        model: str | None = None

    (tmp_path / "run.yaml").write_text("model: some/model\n")
    words = with_config(["table1.toml", "--config", str(tmp_path / "run.yaml")])
    assert read(Bench, "bench", words, "example") == Bench(Path("table1.toml"), "some/model")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("run.json", "{}", r"is no \.toml, \.yaml, \.yml file"),
        ("run.toml", "seed = ", "cannot be read"),
        ("run.yaml", "seed: [", "cannot be read"),
        ("run.yaml", "- seed", "is no table of flags"),
        ("run.yaml", "sed: 3", "no flag --sed: did you mean --seed"),
        ("run.yaml", "seed: three", "three"),
        ("run.yaml", "3: 4", "no flag --3:"),
        ("run.yaml", "simulated: {3: 4}", r"no flag --simulated\.3:"),
        ("run.yaml", "method: null", "method cannot be null: leave it out, or give a value"),
        ("run.yaml", "words: [a dog, null]", "words cannot be null"),
    ],
)
def test_a_file_that_says_nothing_of_use_is_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=said):
        wanted("model", "--config", str(tmp_path / name))


def test_a_mark_of_the_byte_order_is_no_flag(tmp_path: Path) -> None:
    """Windows' editor puts one before the text."""
    (tmp_path / "run.toml").write_text("seed = 3\n", encoding="utf-8-sig")
    assert with_config(["--config", str(tmp_path / "run.toml")]) == ["--seed=3"]


def test_without_a_file_nothing_changes(capsys: pytest.CaptureFixture[str]) -> None:
    assert with_config(["a", "--b=c"]) == ["a", "--b=c"]
    with pytest.raises(InputError, match="--config names no file"):
        with_config(["a", "--config"])
    with pytest.raises(SystemExit, match="2"):
        main(["generate", "--config", "missing.toml"])
    assert "'missing.toml' cannot be used: No such file" in capsys.readouterr().err


def test_every_verb_takes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dog.toml").write_text('class_noun = "dog"\nseed = 500001\nviews = 1\n')
    render = ["toybox", "render", "--config", str(tmp_path / "dog.toml")]
    main([*render, "--output_dir", str(tmp_path / "dog")])
    assert "1 views of dog 500001" in capsys.readouterr().out
