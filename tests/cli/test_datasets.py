"""`apdm datasets check`: the table, the manifest, and one line where nothing can be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from apdm.cli.main import main


@pytest.fixture
def dogs(tmp_path: Path) -> Path:
    for name, count in (("rex", 12), ("fido", 5), ("bo", 1)):
        (tmp_path / "dogs" / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (64, 64), (number, 0, 0)).save(tmp_path / "dogs" / name / f"{number}.png")
    return tmp_path / "dogs"


def check(*arguments: str | Path) -> None:
    main(["datasets", "check", *map(str, arguments)])


def test_the_table_says_who_is_there_and_why_one_is_not(dogs: Path, capsys) -> None:
    check(dogs, "--kind", "folders", "--class_noun", "dog")
    said = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in said.splitlines() if line.startswith(" ")}
    assert rows["rex"][1:5] == ["dog", "4", "4", "4"]
    assert rows["fido"][1:5] == ["dog", "2", "2", "1"]
    assert "usable: 2 of 3 looked at, of 3" in said
    assert "1, needed: 3" in " ".join(said.split())


def test_a_manifest_written_is_checked(dogs: Path, tmp_path: Path, capsys) -> None:
    manifest = tmp_path / "manifest.json"
    kind = ("--kind", "folders", "--class_noun", "dog")
    check(dogs, *kind, "--count", "1", "--division", "fours", "--seed", "3", "--write_manifest", manifest)
    check(dogs, *kind, "--manifest", manifest)
    assert "usable: 1 of 1" in capsys.readouterr().out
    (dogs / "rex" / "3.png").write_bytes(b"other")
    with pytest.raises(SystemExit) as stop:
        check(dogs, *kind, "--manifest", manifest)
    assert stop.value.code == 2
    assert "rex/3.png is not the file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--kind", "folder"), "did you mean 'folders'?"),
        (("--kind", "folders"), "give --class_noun"),
        (("--kind", "vggface2"), "no subject of"),
        (
            ("--kind", "folders", "--class_noun", "dog", "--division", "fours", "--count", "2"),
            "1 subjects can be used: 2",
        ),
        (("--kind", "folders", "--class_noun", "dog", "--count", "0"), "count is 0"),
    ],
)
def test_what_cannot_be_used_is_one_line(dogs: Path, capsys, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(SystemExit) as stop:
        check(dogs, *arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert said in error
    assert len(error.strip().splitlines()) == 1
