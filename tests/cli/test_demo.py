"""The demo's wiring on the tiny model with a made-up judge: what it writes, and that it repeats."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from apdm.backbones.base import Sampling
from apdm.benchmark.store import plain
from apdm.cli import demo
from apdm.cli.main import main
from apdm.errors import InputError
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.apdm import APDM
from apdm.toybox import presets
from apdm.watch import Watch

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion

RECORD = Path(__file__).resolve().parents[2] / "docs" / "results" / "demo.json"
ATTACK = DreamBooth(learning_rate=1e-3, max_train_steps=2)
PROTECTION = APDM(learning_rate=1e-3, outer_steps=1, inner_steps=1, num_class_images=4, simulated=ATTACK)


def one_after_the_other(work: Any, jobs: list[Any], watch: Watch) -> list[Any]:
    """What `side_by_side` does, in this process; jobs and results can travel all the same."""
    return [travelled(work(travelled(job), watch)) for job in jobs]


def travelled(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


def run(folder: Path) -> dict[str, Any]:
    main(["demo", "--output_dir", str(folder)])
    return json.loads((folder / "result.json").read_text())


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    for subject in result["subjects"]:
        assert all(seconds >= 0 for seconds in subject.pop("seconds").values())
    return result


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tiny: StableDiffusion, mean_colours) -> None:
    monkeypatch.setattr(demo, "side_by_side", one_after_the_other)
    monkeypatch.setattr(demo, "load", lambda _: tiny)
    monkeypatch.setattr(demo, "judge", lambda _: mean_colours)
    monkeypatch.setattr(demo.presets, "ATTACK", ATTACK)
    monkeypatch.setattr(demo.presets, "PROTECTION", PROTECTION)
    monkeypatch.setattr(demo.presets, "SAMPLING", Sampling(num_inference_steps=2))


@pytest.mark.usefixtures("small")
def test_the_demo_writes_its_report_and_repeats_itself(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    first = without_times(run(folder))
    assert {"report.html", "contact-sheet.png", "result.json", "log.jsonl"} <= {
        p.name for p in folder.iterdir()
    }
    assert [subject["class_noun"] for subject in first["subjects"]] == ["dog", "person"]
    tasks = {json.loads(line)["task"] for line in (folder / "log.jsonl").open()}
    assert {
        f"{work} {name}-450000" for work in ("positives", "protect", "measure") for name in ("dog", "person")
    } < tasks
    for subject in first["subjects"]:
        assert set(subject["similarity"]) == {
            "real",
            "attacked_unprotected",
            "attacked_protected",
            "class_prompt",
            "random_other",
            "noise",
        }
        for name in ("attack_strength", "protection_rate", "other_subject_strength_ratio"):
            assert {"value", "low", "high", "n"} <= set(subject[name])
        assert set(subject["kid"]) == {"unprotected", "protected"}
    for shown in (folder / "pictures").iterdir():
        names = {kind.name: {path.name for path in kind.iterdir()} for kind in shown.iterdir()}
        assert len(names) == 8
        assert (
            names["class_protected"] == names["attacked_protected"] > names["photos"]
        )  # they stand together
    assert {"apdm", "torch"} <= set(first["versions"])
    assert first["settings"]["protection"]["outer_steps"] == 1
    assert without_times(run(folder)) == first


@pytest.mark.usefixtures("small")
def test_an_interrupted_demo_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    (folder / "subjects" / "dog-1").mkdir(parents=True)
    (folder / "log.jsonl").write_text("")
    run(folder)
    assert {p.name for p in (folder / "subjects").iterdir()} == {
        "dog-450000",
        "dog-450001",
        "person-450000",
        "person-450001",
    }
    assert len(list((folder / "subjects" / "dog-450000" / "positives").iterdir())) == 4


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("left", [["log.jsonl"], ["log.jsonl", ".subjects.12345.part"]])
def test_a_demo_that_was_stopped_as_it_was_emptied_is_replaced(tmp_path: Path, left: list[str]) -> None:
    for name in left:
        (tmp_path / name).write_text("")
    run(tmp_path)
    assert {place.name for place in tmp_path.iterdir()} == demo.WRITTEN


def test_a_demo_is_emptied_so_that_a_stop_leaves_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in sorted(demo.WRITTEN):
        (tmp_path / name).write_text("")
    gone: list[str] = []
    monkeypatch.setattr(demo, "discard", lambda place: gone.append(place.name))
    monkeypatch.setattr(demo, "new_folder", lambda folder: folder)
    demo._fresh(tmp_path)
    assert gone[-2:] == ["subjects", "log.jsonl"]
    assert set(gone) == demo.WRITTEN


@pytest.mark.usefixtures("small")
def test_a_report_of_other_pictures_is_no_earlier_demo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has all that a demo writes, but the subjects that a demo renders."""
    names = ["log.jsonl", "pictures", "result.json", "report.html", "report.json", "contact-sheet.png"]
    for name in names:
        (tmp_path / name).write_text("mine")
    with pytest.raises(SystemExit):
        main(["demo", "--output_dir", str(tmp_path)])
    assert "not empty" in capsys.readouterr().err
    assert all((tmp_path / name).read_text() == "mine" for name in names)


def test_a_demo_that_is_still_being_made_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "subjects").mkdir()
    (tmp_path / "log.jsonl").write_text("running")

    def taken(folder: Path) -> Path:
        raise InputError(f"{folder} is being written", fix="give a new one")

    monkeypatch.setattr(demo, "own_folder", taken)
    with pytest.raises(SystemExit):
        main(["demo", "--output_dir", str(tmp_path)])
    assert (tmp_path / "log.jsonl").read_text() == "running"


@pytest.mark.usefixtures("small")
def test_a_folder_with_other_things_in_it_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--output_dir", str(tmp_path)])
    assert stop.value.code == 2
    assert "not empty" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_the_committed_record_is_of_the_demos_settings() -> None:
    recorded = json.loads(RECORD.read_text())["settings"]
    assert recorded["protection"] == plain(presets.PROTECTION)
    assert recorded["attack"] == plain(presets.ATTACK)
    assert recorded["sampling"] == plain(presets.SAMPLING)


@pytest.mark.slow
def test_the_real_demo_is_as_recorded(tmp_path: Path) -> None:
    """The control takes, the protection hinders, and the committed record is this code's."""
    result, recorded = run(tmp_path / "demo"), json.loads(RECORD.read_text())
    for subject, told in zip(result["subjects"], recorded["subjects"], strict=True):
        assert subject["attack_strength"]["value"] >= 0.5
        assert subject["protection_rate"]["low"] > 0
        for figure in ("attack_strength", "protection_rate", "other_subject_strength_ratio"):
            near = pytest.approx(told[figure]["value"], abs=0.05)  # processors round differently
            assert subject[figure]["value"] == near
