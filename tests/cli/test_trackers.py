"""A tracker hears what the log hears, and none is spoken to unasked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from accelerate import tracking
from accelerate.utils import LoggerType

from apdm.cli import trackers
from apdm.cli.main import main
from apdm.errors import InputError


@dataclass
class Tracker:
    """What a tracker of accelerate is to us, and all that it was told."""

    project: str
    folder: Path
    told: list[Any] = field(default_factory=list)
    requires_logging_directory = True

    def start(self) -> None:
        self.told.append("start")

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.told.append(values)

    def log(self, values: dict[str, float], step: int) -> None:
        self.told.append((values, step))

    def finish(self) -> None:
        self.told.append("finish")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Tracker]:
    """The trackers that are made while "tensorboard" is this one."""
    made: list[Tracker] = []

    def make(*given: Any) -> Tracker:
        made.append(Tracker(*given))
        return made[-1]

    make.requires_logging_directory = True  # type: ignore[attr-defined]
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "tensorboard", make)
    return made


@dataclass(frozen=True)
class Settings:
    """Some."""

    rate: float = 1e-3
    words: tuple[str, ...] = ("a", "b")


def test_the_figures_of_every_step_are_told(made: list[Tracker], heard: Any, tmp_path: Path) -> None:
    with trackers.reporting(heard, "tensorboard", tmp_path, Settings()) as watch:
        watch("protect", 0, 2, {})
        watch("protect", 1, 2, {"loss": 0.5})
    (tracker,) = made
    assert (tracker.project, tracker.folder) == ("apdm", tmp_path / "logs")
    settings = {"kind": "Settings", "rate": 1e-3, "words": "['a', 'b']"}
    assert tracker.told == ["start", settings, ({"protect/loss": 0.5}, 1), "finish"]
    assert heard.steps == [("protect", 0, 2), ("protect", 1, 2)]


def test_a_tracker_is_finished_when_the_run_breaks_off(
    made: list[Tracker], heard: Any, tmp_path: Path
) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        trackers.reporting(heard, "tensorboard", tmp_path, Settings()),
    ):
        raise KeyboardInterrupt
    assert made[0].told[-1] == "finish"


def test_none_is_made_unasked_or_by_another_than_the_first_process(
    made: list[Tracker], heard: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trackers.reporting(heard, None, tmp_path, Settings()) as watch:
        assert watch is heard
    monkeypatch.setattr(trackers, "first", lambda: False)
    with trackers.reporting(heard, "tensorboard", tmp_path, Settings()) as watch:
        assert watch is heard
    assert made == []


def test_one_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trackers.refuse_missing(None)
    with pytest.raises(InputError, match="no tracker 'tensorbord': did you mean 'tensorboard'"):
        trackers.refuse_missing("tensorbord")
    monkeypatch.setattr(tracking, "get_available_trackers", lambda: [LoggerType.WANDB])
    trackers.refuse_missing("wandb")
    for verb in ("protect", "personalize"):  # before model and photos are looked for
        with pytest.raises(SystemExit, match="2"):
            main([verb, "m", "--subject=s", "--class_noun=dog", "--output_dir=o", "--report_to=tensorboard"])
        assert (
            capsys.readouterr().err == f"apdm {verb}: tensorboard is not installed: pip install tensorboard\n"
        )
