"""The frozen evaluation on the tiny model with made-up judges: shares, the record, going on where it was."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from apdm.backbones.base import Sampling
from apdm.benchmark import provenance
from apdm.benchmark.frozen.jobs import pairs_of
from apdm.benchmark.frozen.scenario import TWIN, Scenario, read_scenario
from apdm.cli import frozen
from apdm.cli.main import main
from apdm.errors import InputError
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.apdm import APDM
from apdm.report.strips import Shown
from apdm.watch import silent

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion
    from apdm.metrics.base import FeatureExtractor

PROTECTION = APDM(
    learning_rate=1e-3, outer_steps=1, inner_steps=1, num_class_images=2, simulated=DreamBooth()
)
SCENARIO = """
name = "small"
class_nouns = ["dog", "cat"]
subjects = [0, 1]
others = [2]
attack_seeds = [0]
times = [1.0]
class_images = 2
images_per_prompt = 1
reference_renders = 8
captioned_images = 8
asked_images = 2
error_scenes = 3
placebos = ["no DPO"]
attack = { learning_rate = 1e-3, max_train_steps = 1 }
strongest = { learning_rate = 2e-3, max_train_steps = 1 }
"""


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch, tiny: StableDiffusion, mean_colours) -> list[Any]:
    return work_here(monkeypatch, tiny, mean_colours)


def work_here(patch: pytest.MonkeyPatch, tiny: StableDiffusion, mean_colours: FeatureExtractor) -> list[Any]:
    """What each process is given; all of it is done in this one, on the tiny model."""
    given: list[Any] = []

    def one_after_the_other(work: Any, shares: list[Any], watch: Any) -> None:
        given.extend(shares)
        for share in shares:
            work(share, watch)

    patch.setattr(frozen, "side_by_side", one_after_the_other)
    patch.setattr(frozen, "load", lambda *_: tiny)
    patch.setattr(frozen, "judge", lambda _: mean_colours)
    reader = [{"class": "dog", "colour": "red"}]
    patch.setattr(frozen, "Reader", lambda _: lambda pixels: reader * len(pixels))
    patch.setattr(frozen.presets, "PROTECTION", PROTECTION)
    patch.setattr(frozen.presets, "SAMPLING", Sampling(num_inference_steps=1))
    return given


def test_every_subject_is_measured_once_and_a_second_run_makes_nothing(
    tmp_path: Path, workers: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    scenario, folder = tmp_path / "small.toml", tmp_path / "run"
    scenario.write_text(SCENARIO)
    main(["bench", str(scenario), "--output_dir", str(folder), "--workers", "2"])
    assert [share.device for share in workers] == ["cpu", "cpu"]
    first = json.loads((folder / "protection.json").read_text())
    assert {"attack_strength", "headline", "protection_rate_1x", "fid_ratio", "placebos"} <= set(first)
    assert {"value", "low", "high", "n"} <= set(first["placebos"]["no DPO"])
    assert {"commit", "dirty", "device", "command", "versions"} <= set(first)
    assert first["commit"] == provenance.code()[0]
    assert first["command"] == f"apdm bench {scenario}"
    subjects = [f"{noun}-{seed}" for noun in ("dog", "cat") for seed in (450_000, 450_001)]
    assert sorted(it.stem for it in folder.glob("sheet-*.png")) == sorted(f"sheet-{it}" for it in subjects)
    assert all(f"| {subject} | " in (folder / "protection.md").read_text() for subject in subjects)
    assert (folder / "protection.svg").read_text().startswith("<svg ")
    made = {path: path.stat().st_mtime_ns for path in (folder / "cells").rglob("*.safetensors")}
    main(["bench", str(scenario), "--output_dir", str(folder), "--workers", "1"])
    assert {path: path.stat().st_mtime_ns for path in (folder / "cells").rglob("*.safetensors")} == made
    assert json.loads((folder / "protection.json").read_text()) == first

    likeness = json.loads((folder / "likeness.json").read_text())
    assert {len(likeness[f"class-likeness/{subject}"]) for subject in subjects} == {2}
    attacks = [looks for name, looks in likeness.items() if name.startswith("attack/")]
    assert len(attacks) == len(list((folder / "cells" / "attack").rglob("*.safetensors")))
    assert {len(look) for looks in attacks for look in looks} == {2}

    scenario.write_text(SCENARIO.replace("class_images = 2", "class_images = 3"))
    with pytest.raises(SystemExit) as stop:
        main(["bench", str(scenario), "--output_dir", str(folder)])
    assert stop.value.code == 2
    assert "holds results of other settings" in capsys.readouterr().err


def read_scenario_of(folder: Path) -> Scenario:
    path = folder / "small.toml"
    path.write_text(SCENARIO)
    return read_scenario(path)


def test_results_of_other_code_are_not_gone_on_with(
    tmp_path: Path, workers: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the record would name a commit that did not make them."""
    shop = frozen.workshop(frozen.Share(read_scenario_of(tmp_path), tmp_path, "cpu"), silent)
    made_by = frozen.provenance_of(shop, ["all"])
    monkeypatch.setattr(provenance, "code", lambda: ("0123456789abcdef", False))
    with pytest.raises(InputError, match="cells' holds results of "):
        frozen.provenance_of(shop, ["one"])
    assert frozen.provenance_of(shop, []) == made_by  # figures may be told by any code


def test_nor_are_models_of_other_code(
    tmp_path: Path, workers: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the results are gone, or elsewhere, and what they were made with is still there."""
    share = frozen.Share(read_scenario_of(tmp_path), tmp_path, "cpu")
    first = frozen.provenance_of(frozen.workshop(share, silent), ["all"])
    shutil.rmtree(tmp_path / "cells")
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "code", lambda: ("0123456789abcdef", False))
        with pytest.raises(InputError, match="works' holds results of "):
            frozen.provenance_of(frozen.workshop(share, silent), ["all"])
    assert frozen.provenance_of(frozen.workshop(share, silent), ["all"]) == first


def test_a_device_that_is_none_is_said_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "small.toml").write_text(SCENARIO)
    with pytest.raises(SystemExit) as stop:
        main(["bench", str(tmp_path / "small.toml"), f"--output_dir={tmp_path / 'run'}", "--device", "cud"])
    assert stop.value.code == 2
    assert "device 'cud' cannot be used here: give" in capsys.readouterr().err


def test_who_tells_the_figures_sees_as_exactly_as_who_makes_the_results(
    tmp_path: Path, workers: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU the likeness of the photos themselves is seen by the first process."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    frozen.workshop(frozen.Share(read_scenario_of(tmp_path), tmp_path, "cpu"), silent)
    assert not torch.backends.cudnn.allow_tf32


def test_results_of_a_cpu_are_not_gone_on_with_on_a_gpu(tmp_path: Path, workers: list[Any]) -> None:
    scenario = read_scenario_of(tmp_path)
    shop = frozen.workshop(frozen.Share(scenario, tmp_path, "cpu"), silent)
    shop.cells.get("one", lambda: {"x": torch.ones(1)})
    with pytest.raises(InputError, match="holds results of other settings"):
        frozen.workshop(frozen.Share(scenario, tmp_path, "cuda"), silent)


def test_results_alone_are_enough(
    tmp_path: Path, workers: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without what they were made with: nothing is made, and there are no sheets."""
    scenario, folder = tmp_path / "small.toml", tmp_path / "run"
    scenario.write_text(SCENARIO)
    main(["bench", str(scenario), "--output_dir", str(folder)])
    first = (folder / "protection.json").read_text()
    shutil.copytree(folder / "cells", tmp_path / "kept" / "cells")
    main(["bench", str(scenario), "--output_dir", str(tmp_path / "kept")])
    assert (tmp_path / "kept" / "protection.json").read_text() == first
    assert not list((tmp_path / "kept").glob("sheet-*.png"))
    assert not (tmp_path / "kept" / "works").exists()
    assert "no sheet of dog-450000: its attacks' pictures are not here\n" in capsys.readouterr().out


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny: StableDiffusion, mean_colours) -> Path:
    """Where all results of two attack seeds and two placebos were made."""
    place = tmp_path_factory.mktemp("two-seeds")
    two = (
        SCENARIO.replace('"dog", "cat"', '"dog"')
        .replace("attack_seeds = [0]", "attack_seeds = [0, 1]")
        .replace('["no DPO"]', f'["no DPO", "{TWIN}"]')
    )
    (place / "small.toml").write_text(two)
    with pytest.MonkeyPatch.context() as patch:
        work_here(patch, tiny, mean_colours)
        main(["bench", str(place / "small.toml"), "--output_dir", str(place / "run")])
    return place / "run"


@pytest.fixture
def begun(whole: Path, tmp_path: Path, workers: list[Any]) -> Path:
    """The same, but for an attack of the second seed, on which both subjects' figures rest, and one on a
    placebo."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    of_both_subjects = "attack/unprotected/dog-450002/*-1"
    for gone in (of_both_subjects, "attack/no-dpo-dog-450000/*/*-0"):
        (found,) = (folder / "cells").glob(f"{gone}.safetensors")
        found.unlink()
    return folder


def test_what_is_there_is_told_before_all_is(
    whole: Path, begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of whole attack seeds and whole placebos only, and nothing is written beside the results."""
    there, told = set(begun.rglob("*")), tmp_path / "told"
    main(["table", str(begun), "--output_dir", str(told)])
    assert capsys.readouterr().out.splitlines()[-1] == str(told / "protection.json")
    assert set(begun.rglob("*")) == there
    part, every = (json.loads((it / "protection.json").read_text()) for it in (told, whole))
    assert (every["attack_seeds"], every["missing_results"]) == ([0, 1], 0)
    assert (part["attack_seeds"], part["missing_results"]) == ([0], 2)
    assert set(part["placebos"]) == {TWIN}
    assert 2 * part["protection_rate_1x"]["n"] == every["protection_rate_1x"]["n"]
    assert part["command"] == f"apdm table {begun}"
    said = (told / "protection.md").read_text().splitlines()[0]
    assert said == "Not finished: attack seed 0 of 0, 1. Not there yet: placebo no DPO."
    assert not (whole / "protection.md").read_text().startswith("Not finished")


def test_what_is_missing_is_said() -> None:
    every = read_scenario(Path(__file__).resolve().parents[2] / "scenarios" / "protection.toml")
    seed, placebo = replace(every, attack_seeds=(0,)), replace(every, placebos=every.placebos[1:])
    assert frozen.part_of(seed, every) == "Not finished: attack seed 0 of 0, 1, 2."
    assert frozen.part_of(placebo, every) == "Not finished. Not there yet: placebo no DPO."


def test_figures_of_a_gpu_are_told_without_one(begun: Path, tmp_path: Path) -> None:
    for about in begun.rglob("about.json"):
        about.write_text(about.read_text().replace('"device": "cpu"', '"device": "cuda"'))
    main(["table", str(begun), "--output_dir", str(tmp_path / "told")])
    assert (tmp_path / "told" / "protection.json").exists()


def test_a_sheet_shows_the_attack_seed_of_which_most_pictures_are_there(
    whole: Path, workers: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    """Of one dog those of the first were drawn elsewhere; what of them is here is not mixed in. Of the other
    dog they are those of the first, where a placebo's alone are not here, nor its own of the class."""
    run, shown = tmp_path / "run", list[Shown]()
    shutil.copytree(whole, run)
    for gone in ("protected-dog-450000/dog-450000", "no-dpo-dog-450001/dog-450001"):
        for seed in (0, 1) if gone.startswith("no-dpo") else (0,):
            for picture in (run / "works" / "shown").rglob(f"{gone}/*-{seed}.safetensors"):
                picture.unlink()
    (run / "works" / "class" / "protected-dog-450001" / "dog-2.safetensors").unlink()
    monkeypatch.setattr(frozen, "write_strips", lambda some, _: shown.extend(some))
    main(["table", str(run), "--output_dir", str(tmp_path / "told")])
    assert [it.subject for it in shown] == ["dog-450000, attack seed 1", "dog-450001, attack seed 0"]
    headings = [{strip.heading for strip in it.strips} for it in shown]
    assert headings[0] - headings[1] == {"no DPO", "class, protected"}


@pytest.mark.parametrize("note", ["about.json", "made_by.json"])
@pytest.mark.parametrize("damaged", ["{", "{}", "[]", '{"settings": [], "weights": [], "device": "cpu"}'])
def test_a_damaged_note_is_named(
    note: str, damaged: str, begun: Path, workers: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (begun / "cells" / note).write_text(damaged)
    with pytest.raises(SystemExit) as stop:
        main(["table", str(begun)])
    assert stop.value.code == 2
    assert note in capsys.readouterr().err


@pytest.mark.parametrize("missing", [[], ["one"]])
def test_results_that_nothing_says_who_made_are_refused(
    missing: list[str], tmp_path: Path, workers: list[Any]
) -> None:
    """Or the record would name the code that tells them, or goes on."""
    shop = frozen.workshop(frozen.Share(read_scenario_of(tmp_path), tmp_path, "cpu"), silent)
    frozen.provenance_of(shop, missing)
    shop.cells.get("one", lambda: {"x": torch.ones(1)})
    (tmp_path / "cells" / "made_by.json").unlink(missing_ok=True)
    with pytest.raises(InputError, match=r"made_by.json' is not there, which says what made the results"):
        frozen.provenance_of(shop, missing)


def test_before_the_first_attack_seed_is_there_nothing_is_told(
    begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    next((begun / "cells").glob("cost/*.safetensors")).unlink()
    with pytest.raises(SystemExit) as stop:
        main(["table", str(begun)])
    assert stop.value.code == 2
    assert "has not all results of the first attack seed yet: go on with" in capsys.readouterr().err


def test_a_sheet_shows_the_first_eight_pictures_of_each_prompt(
    whole: Path, workers: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ten each, whose grey says their place; and all photos, of which there are fewer."""
    grey = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1).expand(20, 8, 8, 3)
    monkeypatch.setattr(frozen, "attack_pictures", lambda *_: {"protected, 1x": grey})
    scenario = read_scenario(whole.parent / "small.toml")
    shop = frozen.workshop(frozen.Share(scenario, whole, "cpu"), silent)
    shown = frozen.most_shown(
        replace(shop, scenario=replace(scenario, images_per_prompt=10)), pairs_of(shop)[0]
    )
    assert shown is not None
    strips = {it.heading: it.pictures for it in shown.strips}
    assert [int(np.asarray(it)[0, 0, 0]) for it in strips["protected, 1x"]] == [*range(8), *range(10, 18)]
    assert len(strips["photos"]) == len(pairs_of(shop)[0].subject.attack)


def test_the_committed_results_give_the_committed_figures(tmp_path: Path) -> None:
    """All but the likeness of photos to photos, which is computed anew: in another rounding elsewhere."""
    results = Path(__file__).resolve().parents[2] / "docs" / "results"
    main(["table", str(results / "protection"), "--output_dir", str(tmp_path)])
    told, committed = (
        [it for it in (place / "protection.md").read_text().splitlines() if "likeness real" not in it]
        for place in (tmp_path, results)
    )
    assert told == committed
