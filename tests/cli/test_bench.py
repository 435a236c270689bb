"""`apdm bench` and `apdm table` as a person types them; the cells are made of next to nothing."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from apdm.benchmark.tables import cluster
from apdm.benchmark.tables.methods import METHODS
from apdm.benchmark.tables.runner import Runner, Tools
from apdm.cli import bench, table
from apdm.cli.main import main
from apdm.errors import InputError
from apdm.personalizers.dreambooth import DreamBooth

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
SIZES = """
[toy]
model = "toybox"
judge = "toybox-identity"
preset = "published"
subjects = { dog = [0] }
seeds = [0]
class_images = 1
images_per_prompt = { evaluation = 1 }
sampling = { num_inference_steps = 1 }
views = { protect = 1, attack = 1, held_out = 1 }
personalizer.dreambooth = { max_train_steps = 1 }
seconds = { "attack dreambooth" = 90, "class-images" = 30 }
"""
SCENARIO = """
name = "small"
title = "A small table"
sheet = ["none", "attack"]
row = [{ label = "attack", role = "control" }, { label = "none", personalizer = "none", role = "placebo" }]
"""


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line on stderr; asserts that it is one and that the exit code is 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert said.count("\n") == 1
    return said


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    (tmp_path / "sizes.toml").write_text(SIZES)
    (tmp_path / "small.toml").write_text(SCENARIO)
    return tmp_path / "small.toml"


@pytest.fixture
def shares(monkeypatch: pytest.MonkeyPatch, tiny: Any, mean_colours: Any) -> list[Any]:
    """What each process was given; all of it is done in this one, by the tiny model."""
    given: list[Any] = []
    tools = Tools(METHODS, lambda name, device: tiny, lambda name: mean_colours)

    def one_after_the_other(work: Any, several: list[Any], watch: Any, to_the_end: bool) -> list[Any]:
        assert to_the_end
        given.extend(several)
        return [Runner(it.folder, it.device, tools, watch).run(it.cells) for it in several]

    monkeypatch.setattr(bench, "side_by_side", one_after_the_other)
    return given


def test_a_dry_run_lists_cells_and_costs_and_makes_nothing(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["bench", str(scenario), "--dry_run", "--output_dir", str(tmp_path / "run")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("to make  attack  dog-450000  seed 0  about 2")
    assert lines[0].endswith("min 0\N{NARROW NO-BREAK SPACE}s: class-images, attack dreambooth")
    assert lines[1] == "to make  none    dog-450000  seed 0  cost not known: attack none"
    assert lines[2].startswith("2 cells, 2 to make: about 2")
    assert lines[2].endswith("of one process, and 1 whose cost is not known")
    assert not (tmp_path / "run").exists()


def test_cells_are_made_and_tabulated(
    scenario: Path, tmp_path: Path, shares: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    main(["bench", str(scenario), "--output_dir", str(folder), "--workers", "2"])
    assert capsys.readouterr().out == f"apdm table {folder}\n"
    assert [(len(it.cells), it.device) for it in shares] == [(2, "cpu"), (2, "cpu")]
    main(["bench", str(scenario), "--dry_run", "--output_dir", str(folder)])
    assert capsys.readouterr().out.splitlines()[0] == "done     attack  dog-450000  seed 0"
    main(["table", str(folder)])
    written = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert written == ["small-toy.md", "small-toy.tex", "small-toy.html", "small-toy.png"]
    assert "| attack (control) |" in (folder / "tables" / "small-toy.md").read_text()

    record = next((folder / "records").glob("*.json"))
    record.write_text("{")
    for command in (("table", folder), ("bench", scenario, "--output_dir", folder)):
        said = refused(capsys, *command)
        assert f"{record} is not JSON" in said
        assert "delete it and run the scenario again" in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("role", "rol", "unknown 'rol': did you mean 'role'"),
        ('"none", role', '"drembooth", role', "did you mean 'dreambooth'"),
        (
            'label = "none",',
            'label = "none", clean = 2,',
            "clean is 2, and of dog-450000 the attacker has 1 photos",
        ),
        ("row", "rows", "has no 'class_nouns'|unknown 'rows'"),
    ],
)
def test_bad_scenarios_are_refused_before_anything_is_made(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    scenario.write_text(SCENARIO.replace(old, new, 1))
    line = refused(capsys, "bench", scenario, "--output_dir", tmp_path / "run")
    assert any(part in line for part in said.split("|"))
    assert not (tmp_path / "run").exists()


def test_bad_arguments_are_refused(
    scenario: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "workers is 0: give 1 or more" in refused(capsys, "bench", scenario, "--workers", "0")
    assert "--size has an unknown 'tox': did you mean 'toy'" in refused(
        capsys, "bench", scenario, "--size", "tox"
    )
    assert "[real]" in refused(capsys, "bench", scenario, "--size", "real")
    assert "does not exist" in refused(capsys, "bench", scenario, "--model", "./nowhere")
    monkeypatch.setattr(bench.torch.cuda, "device_count", lambda: 0)
    assert "no GPU is visible" in refused(capsys, "bench", scenario, "--device", "cuda")
    frozen = SCENARIOS / "protection.toml"
    assert "is the frozen evaluation: give a folder" in refused(capsys, "bench", frozen, "--dry_run")
    assert "holds no table" in refused(capsys, "table", scenario.parent)


@pytest.mark.parametrize("records", ["bench", "protection"])
def test_a_place_for_tables_that_is_none_is_refused_beforehand(
    records: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures of a frozen evaluation take a minute."""
    monkeypatch.setattr(table, "write_tables", None)
    monkeypatch.setattr(table.frozen, "tell", None)
    taken = tmp_path / "file"
    taken.write_text("mine")
    results = SCENARIOS.parent / "docs" / "results" / records
    assert f"'{taken}' is a file" in refused(capsys, "table", results, "--output_dir", taken)


def test_a_place_for_cells_that_is_none_is_refused_beforehand(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.frozen, "run", None)
    (tmp_path / "file").write_text("mine")
    below = tmp_path / "file" / "below"
    for of in (scenario, SCENARIOS / "protection.toml"):
        said = refused(capsys, "bench", of, "--output_dir", below)
        assert f"'{below}' lies in {tmp_path / 'file'}, which is a file" in said


def test_workers_take_visible_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.torch.cuda, "device_count", lambda: 2)
    assert bench.devices("cuda", None) == ["cuda:0", "cuda:1"]
    assert bench.devices("cuda", 3) == ["cuda:0", "cuda:1", "cuda:0"]
    assert bench.devices("cuda:1", None) == ["cuda:1"]
    assert bench.devices("cpu", None) == ["cpu"]
    assert bench.devices("cpu", 2) == ["cpu", "cpu"]


def test_what_was_wrong_is_said_once_after_all_else_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    error = InputError("it diverged", fix="lower its rate")
    monkeypatch.setattr(bench, "side_by_side", lambda *_, **__: [{"a": error}, {"a": error, "b": error}])

    class Planned:
        def cells(self) -> list[int]:
            return [1, 2, 3]

    with pytest.raises(
        InputError, match=r"2 of 3 cells could not be made \(it diverged: lower its rate\): the"
    ):
        bench.make(Planned(), tmp_path, bench.on_this_machine(bench.Bench(tmp_path)))  # type: ignore[arg-type]


def test_attack_settings_reach_the_cells(scenario: Path, tmp_path: Path, shares: list[Any]) -> None:
    main(["bench", str(scenario), "--output_dir", str(tmp_path / "run")])
    assert shares[0].cells[0].personalizer.settings == DreamBooth(max_train_steps=1)


def test_what_other_code_made_is_refused_before_anything_is_added(
    scenario: Path,
    tmp_path: Path,
    shares,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "run"
    main(["bench", str(scenario), "--output_dir", str(folder)])
    monkeypatch.setattr(bench, "code", lambda: ("b" * 40, False))
    before = sorted(folder.rglob("*"))
    for more in ((), ("--dry_run",)):
        line = refused(capsys, "bench", scenario, "--output_dir", folder, *more)
        assert "holds results of" in line
        assert "give a new folder for this code" in line
    assert sorted(folder.rglob("*")) == before
    shutil.rmtree(folder / "works")  # as of committed records
    assert "holds results of" in refused(capsys, "bench", scenario, "--output_dir", folder)


def test_a_table_of_that_name_but_another_model_is_not_replaced(
    scenario: Path, tmp_path: Path, shares, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    main(["bench", str(scenario), "--output_dir", str(folder)])
    (tmp_path / "sizes.toml").write_text(SIZES.replace("dog = [0]", "dog = [1]"))
    assert "of another model or other subjects" in refused(capsys, "bench", scenario, "--output_dir", folder)
    (tmp_path / "sizes.toml").write_text(SIZES.replace("dog = [0]", "dog = [0, 1]"))
    main(["bench", str(scenario), "--output_dir", str(folder)])  # more of the same is no other


def test_a_table_without_a_finished_cell_stops_no_other(
    scenario: Path, tmp_path: Path, shares, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    main(["bench", str(scenario), "--output_dir", str(folder)])
    listing = (folder / "tables" / "small-toy.json").read_text()
    begun = re.sub(r'"[0-9a-f]{20}"', lambda found: f'"{found[0][-2:0:-1]}"', listing)
    (folder / "tables" / "another-toy.json").write_text(begun.replace('"small"', '"another"'))
    capsys.readouterr()
    main(["table", str(folder)])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "another at size toy: no cell is finished"
    assert said[1].endswith("small-toy.md")
    for record in (folder / "records").iterdir():
        record.unlink()
    assert "is finished: run apdm bench" in refused(capsys, "table", folder)


def test_some_classes_alone_can_be_asked_for(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sizes.toml").write_text(SIZES.replace("dog = [0]", "dog = [0], cat = [0]"))
    main(["bench", str(scenario), "--dry_run", "--class_nouns", "cat"])
    listed = capsys.readouterr().out
    assert "cat-450000" in listed
    assert "dog-450000" not in listed
    assert "did you mean 'cat'" in refused(capsys, "bench", scenario, "--dry_run", "--class_nouns", "cart")


@pytest.mark.parametrize(
    ("records", "tables"),
    [
        ("bench", ["attackers-toy", "table1-toy"]),
        ("photographs", ["photographs-real"]),
        (
            "table2",
            [f"{name}{of}-toy" for name in ("doses", "table2") for of in ("", "-cost", "-tifa", "-equal")],
        ),
    ],
)
def test_committed_records_give_the_committed_tables(
    records: str, tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the works there is no sheet; the rest needs the records alone."""
    results = SCENARIOS.parent / "docs" / "results"
    main(["table", str(results / records), "--output_dir", str(tmp_path)])
    written = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert written == [f"{name}.{kind}" for name in tables for kind in ("md", "tex", "html")]
    for name in tables:
        assert (tmp_path / f"{name}.md").read_text() == (results / f"{name}.md").read_text()


def test_ray_is_refused_in_one_line_where_it_is_not_installed_or_told_of_workers(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    on_ray = ("bench", scenario, "--output_dir", tmp_path / "run", "--engine", "ray")
    assert "Ray is not installed: pip install 'apdm[cluster]'" in refused(capsys, *on_ray)
    assert "--workers is of the engine local" in refused(capsys, *on_ray, "--workers", "2")
    assert "not --device cuda:1: give cuda" in refused(capsys, *on_ray, "--device", "cuda:1")
    assert "did you mean 'ray'" in refused(capsys, *on_ray[:-1], "rai")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flag", "value"), [("address", "auto"), ("num_gpus", "0"), ("retries", "1"), ("retries", "0")]
)
def test_what_is_rays_is_refused_by_the_local_engine(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str
) -> None:
    here = ("bench", scenario, "--output_dir", tmp_path / "run")
    said = refused(capsys, *here, f"--{flag}", value)
    assert f"--{flag} is of the engine ray: leave it out, or give --engine ray" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "gpus"), [((), 0), (("--device", "cuda"), 1), (("--device", "cuda", "--num_gpus", "0.5"), 0.5)]
)
def test_rays_cells_have_a_gpu_where_there_is_one(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], gpus: float
) -> None:
    given: list[Any] = []

    def make(cells: Any, folder: Path, watch: Any, cluster: Any) -> dict[str, InputError]:
        given.append((len(cells), cluster))
        return {}

    monkeypatch.setattr(cluster, "find_spec", lambda name: object())
    monkeypatch.setattr(bench, "make_on_ray", make)
    settings = ("--engine", "ray", "--address", "auto", "--retries", "1", *flags)
    main(["bench", str(scenario), "--output_dir", str(tmp_path / "run"), *settings])
    device = "cuda" if gpus else "cpu"
    assert given == [(2, cluster.Cluster(device, "auto", num_gpus=gpus, retries=1))]
