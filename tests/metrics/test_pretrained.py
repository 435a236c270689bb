"""Files on this machine come first, and nothing that is not whole is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from apdm.errors import InputError
from apdm.metrics.pretrained import local_first, short_name


def asked(source: str | Path, *answers: Exception | str) -> tuple[list[bool], str | InputError]:
    """Whether each try was local, and what came of it, if the tries are answered like this."""
    tries: list[bool] = []

    def load(_: str, local: bool) -> str:
        tries.append(local)
        answer = answers[len(tries) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    try:
        return tries, local_first(load, source, "ViT")
    except InputError as error:
        return tries, error


def test_the_hub_is_asked_for_what_is_not_here(tmp_path: Path) -> None:
    assert asked("a/b", "found") == ([True], "found")
    assert asked("a/b", OSError(), "found") == ([True, False], "found")
    tries, error = asked(tmp_path, OSError())
    assert tries == [True]
    assert "no readable ViT at" in str(error)


def test_what_is_said_to_the_user_is_not_tried_again() -> None:
    assert asked("a/b", InputError("'a/b' is a bert", fix="give a ViT"))[0] == [True]


def test_a_folder_is_called_by_its_last_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert short_name(".") == "mine"
    assert short_name("facebook/dino-vits16") == "facebook/dino-vits16"
