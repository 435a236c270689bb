"""Scenario files: what stands in them, what is refused, and that the project's own can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from apdm.benchmark.tables.grid import KINDS, Grid, Row, is_grid, read_grid, read_size
from apdm.benchmark.tables.methods import METHODS
from apdm.errors import InputError

SCENARIOS = Path(__file__).resolve().parents[3] / "scenarios"
GRIDS = sorted(path for path in SCENARIOS.glob("*.toml") if path.stem not in ("protection", "sizes"))


def test_there_is_a_scenario_for_each_table_of_measurements() -> None:
    tables = {path.stem for path in GRIDS if path.stem.startswith("table")}
    assert tables == {f"table{number}" for number in range(1, 16)}
    assert [path.stem for path in SCENARIOS.glob("*.toml") if not is_grid(path)].count("protection") == 1


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_every_scenario_can_be_read_and_names_methods_that_there_are(path: Path) -> None:
    grid = read_grid(path)
    assert grid.name == path.stem
    for row in grid.row:
        for kind in KINDS:
            known = {"none", *getattr(METHODS, f"{kind}s")}
            assert getattr(row, kind) in known, (row.label, kind)
    for name in grid.sizes:
        size = read_size(path, grid, name)
        assert all(row.prompts in size.images_per_prompt for row in grid.row)
        classes = {noun for row in grid.row for metric in row.published.values() for noun in metric}
        assert name == "toy" or classes <= {*size.attacked, "all"}, (
            "a published class is a column at real size"
        )


def test_table_1_has_its_fourteen_rows_and_placebos() -> None:
    grid = read_grid(SCENARIOS / "table1.toml")
    measured = [row for row in grid.row if row.role != "placebo"]
    assert [(row.cloak, row.clean, row.protector) for row in measured] == [
        ("none", "N", "none"),
        *((cloak, clean, "none") for cloak in ("advdm", "aspl", "simac", "pap") for clean in (0, 1, "N-1")),
        ("none", "N", "apdm"),
    ]
    assert measured[0].published["similarity"] == {"person": 0.6994, "dog": 0.6056, "all": 0.6525}
    assert measured[-1].published["brisque"] == {"person": 40.25, "dog": 60.74, "all": 50.50}
    for row in measured:
        for figures, within in zip(row.published.values(), (6e-5, 6e-3), strict=True):
            assert figures["all"] == pytest.approx((figures["person"] + figures["dog"]) / 2, abs=within)
    assert {row.label for row in grid.row if row.role == "placebo"} == {
        "no attack",
        "no DPO",
        "another subject's protection",
        "naive ascent",
    }


def test_photographs_go_through_the_methods_and_the_sheet_of_table_1() -> None:
    table, photographs = (read_grid(SCENARIOS / f"{name}.toml") for name in ("table1", "photographs"))
    assert photographs.sheet == table.sheet == tuple(row.label for row in photographs.row)


@pytest.mark.parametrize(
    ("line", "wrong", "said"),
    [
        ('label = "DreamBooth, N clean"', 'lable = "DreamBooth"', "unknown 'lable': did you mean 'label'"),
        (
            'role = "control"',
            'role = "controls"',
            "role of row 'DreamBooth, N clean' has an unknown 'controls'",
        ),
        ("clean = 0", "clean = -1", "clean is -1|clean of row 'AdvDM, 0 clean' is -1: give 0 or more"),
        ("clean = 0", 'clean = "N-2"', "unknown 'N-2': did you mean"),
        ("clean = 0", "clean = 0.5", "clean is 0.5"),
        ("clean = 0", 'photos = "attacks"', "did you mean 'attack'"),
        ("clean = 0", "settings.cloaks = { steps = 1 }", "unknown 'cloaks': did you mean 'cloak'"),
        ("published.similarity", "published.similarities", "did you mean 'similarity'"),
        ('label = "AdvDM, 1 clean"', 'label = "AdvDM, 0 clean"', "each label once"),
        ('sheet = ["DreamBooth, N', 'sheet = ["DreamBoot, N', "did you mean 'DreamBooth, N clean'"),
        ("[[row]]", "[row]", "cannot be read"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, wrong: str, said: str) -> None:
    text = (SCENARIOS / "table1.toml").read_text()
    assert line in text
    (tmp_path / "scenario.toml").write_text(text.replace(line, wrong, 1))
    with pytest.raises(InputError, match=said):
        read_grid(tmp_path / "scenario.toml")


@pytest.mark.parametrize(
    ("line", "wrong", "said"),
    [
        ("seeds = [0, 1]", "seeds = [0, 0]", r"seeds are \[0, 0\]"),
        ("class_images = 64", "class_image = 64", "unknown 'class_image': did you mean 'class_images'"),
        ("evaluation = 8", "evaluate = 8", "did you mean 'evaluation'"),
        ('judge = "toybox-identity"', "", "has no 'judge'"),
        ("guidance_scale = 3.0", 'guidance_scale = "3"', "guidance_scale is"),
    ],
)
def test_a_wrong_line_of_a_size_is_named(tmp_path: Path, line: str, wrong: str, said: str) -> None:
    text = (SCENARIOS / "sizes.toml").read_text()
    assert line in text
    (tmp_path / "sizes.toml").write_text(text.replace(line, wrong, 1))
    grid = Grid("x", "X", (Row("only"),))
    with pytest.raises(InputError, match=said):
        read_size(tmp_path / "x.toml", grid, "toy")


def test_a_scenarios_own_lines_and_the_model_asked_for_stand_over_the_common_ones() -> None:
    path = SCENARIOS / "table9.toml"
    grid = read_grid(path)
    size, common = read_size(path, grid, "toy"), read_size(path, Grid("x", "X", (Row("a"),)), "toy")
    assert dict(size.subjects) == {"person": (0, 1)}
    assert size.views == {"attack": 12}
    assert (size.seeds, size.sampling) == (common.seeds, common.sampling)
    assert read_size(path, grid, "real", model="mine").model == "mine"


def test_a_size_that_a_scenario_does_not_have_is_refused() -> None:
    path = SCENARIOS / "table13.toml"
    with pytest.raises(InputError, match="'table13' has no size toy: use --size real"):
        read_size(path, read_grid(path), "toy")
    with pytest.raises(InputError, match="--size has an unknown 'reel': did you mean 'real'"):
        read_size(path, read_grid(path), "reel")


def test_table_2_has_the_papers_marks_and_an_exam_at_both_sizes() -> None:
    path = SCENARIOS / "table2.toml"
    grid = read_grid(path)
    unprotected, ours = grid.row[:2]
    assert {name: it["all"] for name, it in unprotected.published.items()} == {
        "fid": 25.98, "clip": 0.2878, "tifa": 78.76, "geneval": 0.4303
    }  # fmt: skip
    assert {name: it["all"] for name, it in ours.published.items()} == {
        "fid": 28.85, "clip": 0.2853, "tifa": 75.91, "geneval": 0.4017
    }  # fmt: skip
    for name in grid.sizes:
        size = read_size(path, grid, name)
        assert size.exam is not None
        for noun, some in size.subjects.items():
            assert len(size.exam.neighbours[noun]) == len(some)
            assert set(some).isdisjoint((*size.exam.neighbours[noun], *size.exam.others[noun]))
    assert read_size(path, grid, "toy").exam.captions == 1000  # type: ignore[union-attr]


def test_clean_counts() -> None:
    assert [Row("x", clean=clean).unperturbed(4, "rex") for clean in (0, 1, "N-1", "N")] == [0, 1, 3, 4]
    with pytest.raises(InputError, match="row 'x': clean is 5, and of rex the attacker has 4 photos: give 4"):
        Row("x", clean=5).unperturbed(4, "rex")
