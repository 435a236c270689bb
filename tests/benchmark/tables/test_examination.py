"""An exam taken by the tiny model, whose marks are given by made-up eyes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from apdm.benchmark.frozen.workshop import held_out_scene
from apdm.benchmark.tables import examination
from apdm.benchmark.tables.examination import Examination
from apdm.benchmark.tables.kept import Kept
from apdm.benchmark.tables.outcome import Outcome
from apdm.benchmark.tables.runner import Runner
from apdm.metrics.fid import fid
from apdm.metrics.geneval import TASKS
from apdm.metrics.kid import kid
from apdm.pixels import from_uint8, load
from apdm.toybox.world import render
from apdm.watch import silent

RunnerIn = Callable[..., Runner]
KeptOf = Callable[[str], Kept]


@pytest.fixture
def kept(exam_plan: Callable[..., Any]) -> KeptOf:
    plan = exam_plan()
    return lambda label: plan.models[label]["dog"][0].kept


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture
def taken(folder: Path, kept: KeptOf, runner_in: RunnerIn) -> dict[str, Outcome]:
    """By label; made once, then read."""
    runner = runner_in(folder)
    return {label: runner.finish(kept(label)) for label in ("attack", "model")}


def pictures(folder: Path, outcome: Outcome) -> torch.Tensor:
    return load(sorted((folder / outcome.pictures).glob("*.png")), 16)


def test_every_mark_is_kept_caption_by_caption(taken: dict[str, Outcome]) -> None:
    marks = taken["attack"].measured
    assert {len(marks[name].values) for name in ("clip", "tifa")} == {6}
    assert [name for name in marks if name.startswith("geneval")] == [f"geneval {task}" for task in TASKS]
    assert {len(marks[f"geneval {task}"].values) for task in TASKS} == {2}
    assert (len(marks["fid"].values), len(marks["kid"].values)) == (21, 1001)
    assert taken["attack"].control == {}
    assert "time" not in marks
    assert len(taken["model"].measured["time"].values) == 2


def test_distances_are_those_of_the_captions_pictures_to_the_references(
    taken: dict[str, Outcome], folder: Path, mean_colours: Any, kept: KeptOf, tiny: Any, runner_in: RunnerIn
) -> None:
    runner = runner_in(folder)
    sat = Examination(kept("attack"), tiny, tiny, runner.works, runner.judges(kept("attack").paper), silent)
    references = sat.references()
    assert references.shape == (5, 12)  # five renders
    features = mean_colours(pictures(folder, taken["attack"]))
    marks = taken["attack"].measured
    assert marks["fid"].values[0] == pytest.approx(fid(features, references, seed=0).value, abs=2e-6)
    assert marks["kid"].values[0] == pytest.approx(kid(features, references, seed=0).value, abs=2e-6)
    assert marks["fid"].extractor == "mean-colours"


def test_the_cosine_is_that_of_picture_and_caption(taken: dict[str, Outcome], folder: Path) -> None:
    for outcome in taken.values():
        levels = pictures(folder, outcome).mean((1, 2, 3)).tolist()  # the eyes' cosine with every caption
        assert outcome.measured["clip"].values == pytest.approx(levels, abs=1e-5)
    assert taken["attack"].measured["clip"].values != taken["model"].measured["clip"].values


def test_the_judges_look_at_renders_of_the_same_scenes(taken: dict[str, Outcome], kept: KeptOf) -> None:
    scenes = [render(held_out_scene(index).scene) for index in range(6)]
    levels = from_uint8(np.stack(scenes)).mean((1, 2, 3)).tolist()
    marks = taken["attack"].measured
    assert marks["renders clip"].values == pytest.approx(levels, abs=1e-5)
    expected = [share(kept("attack"), str(index), level) for index, level in enumerate(levels)]
    assert marks["renders tifa"].values == pytest.approx(expected, abs=1e-6)
    assert "renders clip" not in taken["model"].measured  # once is enough


def share(kept: Kept, id: str, level: float) -> float:
    """The eyes answer "dog" to all that they are asked of a bright picture, else "cat"; what is no choice is
    taken for the first one."""
    asked, said = [it for it in kept.paper.questions if it.id == id], "dog" if level > 0 else "cat"
    return sum((said if said in it.choices else it.choices[0]) == it.answer for it in asked) / len(asked)


def test_tifas_answers_are_the_share_of_right_ones(
    taken: dict[str, Outcome], folder: Path, kept: KeptOf
) -> None:
    levels = pictures(folder, taken["model"]).mean((1, 2, 3)).tolist()
    expected = [share(kept("model"), str(index), level) for index, level in enumerate(levels)]
    assert taken["model"].measured["tifa"].values == pytest.approx(expected, abs=1e-6)
    assert 0 < sum(expected) < 6
    by_type = {it.element_type for it in kept("model").paper.questions}
    assert {name for name in taken["model"].measured if name.startswith("tifa ")} == {
        f"tifa {it}" for it in by_type
    }


def test_genevals_pictures_are_two_a_prompt_in_order(
    folder: Path, kept: KeptOf, tiny: Any, runner_in: RunnerIn
) -> None:
    """Painted pictures in place of the model's: two bright ones of the first prompt, one of the second."""
    cell, runner = kept("attack"), runner_in(folder)
    sat = Examination(cell, tiny, tiny, runner.works, runner.judges(cell.paper), silent)
    at = [number for number, it in enumerate(cell.paper.objects) if it.task == "single_object"]
    wanted = [cell.paper.objects[number].include[0].label for number in at]
    bright = {2 * at[0], 2 * at[0] + 1, 2 * at[1]}  # both of the one, the first of the other

    def painted(files: list[Path]) -> torch.Tensor:
        numbers = [int(file.stem.split("_")[1]) for file in files]
        return torch.stack([torch.full((3, 4, 4), 0.5 if n in bright else -0.5) for n in numbers])

    object.__setattr__(sat, "_load", painted)
    right = [share * (label == "dog") for label, share in zip(wanted, (1.0, 0.5), strict=True)]
    assert sat.geneval()["geneval single_object"].values == tuple(right)
    assert any(right)


def test_pictures_are_drawn_in_parts_and_depend_on_their_number_alone(
    tmp_path: Path,
    taken: dict[str, Outcome],
    folder: Path,
    kept: KeptOf,
    runner_in: RunnerIn,
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(examination, "AT_A_TIME", 4)
    again = runner_in(tmp_path).finish(kept("attack"))
    whole = pictures(folder, taken["attack"])
    assert (pictures(tmp_path, again) - whole).abs().max() <= 2 / 255 + 1e-6
    assert len({round(float(it), 6) for it in whole.mean((1, 2, 3))}) > 1


def test_captions_that_tifa_asks_about_are_drawn_once(
    taken: dict[str, Outcome], folder: Path, kept: KeptOf
) -> None:
    assert set(taken["attack"].works.values()) == {"references", "pictures captions", "pictures objects"}
    assert {"protect shifted", "subject", "class-images"} < set(taken["model"].works.values())
    made = [json.loads(path.read_text())["method"] for path in folder.glob("works/pictures/*/made.json")]
    assert sorted(made) == ["captions", "captions", "objects", "objects"]
    assert len(list(folder.glob("works/references/*"))) == 1


def test_time_is_that_of_pairs_drawn_in_turn(
    folder: Path, kept: KeptOf, runner_in: RunnerIn, monkeypatch: Any
) -> None:
    """A clock that goes on by what each model needs: 3 seconds protected, 2 unprotected."""
    clock = [0.0]

    class Timed:
        resolution = 16

        def __init__(self, seconds: float) -> None:
            self.seconds, self.asked = seconds, []

        def generate(self, prompts: Any, seeds: Any, sampling: Any) -> None:
            clock[0] += self.seconds
            self.asked.append(tuple(prompts))

    monkeypatch.setattr(examination.time, "monotonic", lambda: clock[0])
    cell, runner = kept("model"), runner_in(folder)
    judges, slow, quick = runner.judges(cell.paper), Timed(3.0), Timed(2.0)
    found = Examination(cell, slow, quick, runner.works, judges, silent).time()  # type: ignore[arg-type]
    assert found.values == (1.5, 1.5)
    assert slow.asked == quick.asked == [cell.paper.captions[: cell.of.sampling.sample_batch_size]] * 3
