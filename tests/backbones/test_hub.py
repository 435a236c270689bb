"""What the hub refuses, in one line that says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

from apdm.backbones.hub import current_name, fetch_index
from apdm.errors import InputError


class Answer:
    """As much of an HTTP answer as the hub's errors look at."""

    headers: dict[str, str] = {}  # noqa: RUF012
    request = None


def answered(kind: type[errors.HfHubHTTPError]) -> errors.HfHubHTTPError:
    reply: Any = Answer()
    return kind("Client Error.\n\nCannot access\n" + "x" * 1000, response=reply)


REFUSALS: dict[str, tuple[Exception, str]] = {
    "gated": (
        answered(errors.GatedRepoError),
        "model 'a/b' is gated: accept its terms on the hub and log in",
    ),
    "401 or 404": (
        answered(errors.RepositoryNotFoundError),
        "the hub shows no model 'a/b': check the name, or",
    ),
    "no network": (errors.LocalEntryNotFoundError("x"), "the hub does not answer, and model 'a/b' is not on"),
    "no pipeline": (answered(errors.RemoteEntryNotFoundError), "model 'a/b' has no model_index.json: give a"),
    "another answer": (
        answered(errors.HfHubHTTPError),
        "model 'a/b' could not be fetched (Client Error. Cannot",
    ),
    "a bad name": (
        errors.HFValidationError("Repo id must\nbe"),
        "could not be fetched (Repo id must be): check",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_each_refusal_is_one_line(refusal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error, said = REFUSALS[refusal]

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(InputError) as caught:
        fetch_index("a/b")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_index_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "X"}')
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda model, name: tmp_path / name)
    assert fetch_index("a/b") == {"_class_name": "X"}


def test_models_that_moved_are_found_and_those_that_are_gone_named() -> None:
    assert current_name("runwayml/stable-diffusion-v1-5") == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert current_name("somebody/model") == "somebody/model"
    with pytest.raises(InputError, match="no longer on the hub: give a local"):
        current_name("stabilityai/stable-diffusion-2-1")
