"""Exams on the tiny model, and who is personalised beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from apdm.benchmark.tables.exam import Paper
from apdm.benchmark.tables.outcome import TO_OWNER, record_path, write
from apdm.benchmark.tables.plan import Plan
from apdm.benchmark.tables.runner import Runner
from apdm.cli.main import main
from apdm.pixels import load

PlanOf = Callable[..., Plan]
RunnerIn = Callable[..., Runner]


def test_an_exam_and_all_beside_it_are_made_and_tabulated(
    tmp_path: Path, exam_plan: PlanOf, runner_in: RunnerIn, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = exam_plan(("sheet = ", "note = "), ('["attack", "cloak, 0 clean", "model"]', '"All of it."'))
    assert runner_in(tmp_path).run(plan.cells()) == {}
    write(plan.listing(), tmp_path / "tables" / "small-toy.json")
    main(["table", str(tmp_path)])
    written = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert written == [
        f"small{name}-toy.{kind}"
        for name in ("", "-cost", "-tifa", "-equal")
        for kind in ("md", "tex", "html")
    ]
    text = (tmp_path / "tables" / "small-cost-toy.md").read_text()
    assert "0 more not finished" in text
    assert "missing" not in text
    record_path(tmp_path, plan.models["attack"]["dog"][0].kept.digest).unlink()
    bare = replace(plan.listing(), name="another", before={})
    write(bare, tmp_path / "tables" / "another-toy.json")
    main(["table", str(tmp_path)])
    *written, said = capsys.readouterr().out.splitlines()
    assert [Path(line).name for line in written] == [f"another-toy.{kind}" for kind in ("md", "tex", "html")]
    assert said == "small at size toy: the unprotected model has no exam yet"


def test_each_exam_has_its_own_judges(tmp_path: Path, exam_plan: PlanOf, runner_in: RunnerIn) -> None:
    papers = [
        exam_plan(exam=(("somebody/detector", name),)).models["attack"]["dog"][0].kept.paper
        for name in ("somebody/eye", "somebody/other")
    ]
    loaded: list[str] = []

    def load_judges(paper: Paper, device: torch.device) -> str:
        loaded.append(paper.exam.detector)
        return paper.exam.detector

    runner = runner_in(tmp_path, examiners=load_judges)
    assert [runner.judges(it) for it in papers * 2] == ["somebody/eye", "somebody/other"] * 2
    assert loaded == ["somebody/eye", "somebody/other"]


def test_who_is_attacked_on_anothers_model_is_compared_with_both(
    tmp_path: Path, exam_plan: PlanOf, runner_in: RunnerIn, mean_colours: Any
) -> None:
    cell, runner = exam_plan().models["model"]["dog"][0].others["neighbour"][0][0], runner_in(tmp_path)
    outcome = runner.finish(cell)
    owner = mean_colours(runner.subject(cell.protected_for).pixels("held_out", 16))
    for folder, found in ((outcome.pictures, outcome.measured), (outcome.control_pictures, outcome.control)):
        drawn = mean_colours(load(sorted((tmp_path / folder).glob("*.png")), 16))
        cosines = torch.nn.functional.cosine_similarity(drawn[:, None], owner[None], dim=2).mean(1)
        assert found[TO_OWNER].values == pytest.approx(cosines.tolist(), abs=1e-5)
        assert found[TO_OWNER].values != found["similarity"].values
