"""Judges of an exam by name; the networks themselves are tested where they live."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from apdm import assets
from apdm.benchmark.tables import examiners as module
from apdm.benchmark.tables.exam import Exam, paper
from apdm.benchmark.tables.examiners import Verbatim, check_questions, examiners, places
from apdm.errors import InputError
from apdm.metrics import detectors
from apdm.metrics.geneval import GENEVAL, Prompt, Requirement
from apdm.metrics.toy_detector import RULES

FIELD = Exam(4, 4, 4, 1, "inception", "a/clip", "a/answers", "a/detector", sentences="a/words")


def test_networks_of_the_field_lie_where_they_are_named(tmp_path: Path) -> None:
    found = places(replace(FIELD, detector=str(tmp_path)))
    assert found == {
        "distance": "inception",
        "clip": "a/clip",
        "answerer": "a/answers",
        "detector": str(tmp_path),
        "sentences": "a/words",
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"clip": "toybox-clap"}, "exam.clip is 'toybox-clap': use toybox-clip, a network's folder"),
        ({"clip": "toybox-detector"}, "exam.clip is 'toybox-detector': use toybox-clip, a network's"),
        ({"answerer": "toybox-clip"}, "exam.answerer is 'toybox-clip': use toybox-detector, a network's"),
        ({"detector": "toybox-clip"}, "exam.detector is 'toybox-clip': use toybox-detector, a network's"),
        ({"sentences": "toybox-clip"}, "exam.sentences is 'toybox-clip': use a network's"),
        ({"sentences": ""}, "exam.sentences is ''"),
        ({"distance": "incepton"}, "there is no judge 'incepton'"),
    ],
)
def test_what_is_no_name_is_refused(changes: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        places(replace(FIELD, **changes))  # type: ignore[arg-type]


def test_toys_judges_ship_with_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("toybox-clip", "toybox-detector"):
        (tmp_path / name).mkdir()
        assets.write_sums(tmp_path / name)
    monkeypatch.setattr(assets, "WEIGHTS", tmp_path)
    toys = replace(
        FIELD, distance="toybox-clip", clip="toybox-clip", answerer="toybox-detector", sentences=""
    )
    assert places(toys) == {
        "distance": str(tmp_path / "toybox-clip"),
        "clip": str(tmp_path / "toybox-clip"),
        "answerer": str(tmp_path / "toybox-detector"),
        "detector": "a/detector",
    }  # and no sentences: its answers are choices


def test_a_detector_of_toys_is_asked_about_toys(tmp_path: Path) -> None:
    asked = {"id": "x", "caption": "a red bus", "question": "is it red?", "element_type": "color"}
    (tmp_path / "tifa.json").write_text(json.dumps([asked | {"choices": ["yes", "no"], "answer": "yes"}]))
    file = replace(FIELD, questions="tifa.json")
    check_questions(paper(file, tmp_path, {}))
    with pytest.raises(InputError, match="'is it red\\?' is no question about toys"):
        check_questions(paper(replace(file, answerer="toybox-detector"), tmp_path, {}))


def test_any_detector_of_the_field_is_loaded_by_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    class Detector:
        network = torch.nn.Identity()

    asked: list[object] = []

    def told(*arguments: object) -> Detector:
        asked.append(arguments)
        return Detector()

    class Clip:
        name, fingerprint = "clip", "0"

    monkeypatch.setattr(detectors, "detector", told)
    exam = replace(paper(FIELD, None, {}), class_names=("a", "b"))
    found = module._detector(exam, "a/detector", Clip(), torch.device("cpu"))  # pyright: ignore[reportPrivateUsage]
    assert isinstance(found[0], Detector)
    assert asked == [("a/detector", exam.objects, ("a", "b"))]


def test_an_answer_that_is_no_choice_is_refused() -> None:
    with pytest.raises(InputError, match="'blue' is none of red, green"):
        Verbatim()(["blue", "red", "green"])


def test_a_network_that_is_not_there_is_said(tmp_path: Path) -> None:
    exam = replace(FIELD, clip=str(tmp_path))
    with pytest.raises(InputError, match="no readable CLIP"):
        examiners(paper(exam, None, {}), torch.device("cpu"))


def test_the_toyboxs_judges_know_their_own_papers() -> None:
    """The shipped ones: what they say of renders is in their own tests."""
    toys = Exam(4, 4, 4, 40, "efficientnet-lite0", "toybox-clip", "toybox-detector", "toybox-detector")
    found = examiners(paper(toys, None, {}), torch.device("cpu"))
    assert (found.clip.name, found.detector.name, found.answerer.name, found.encoder.name) == (
        "toybox-clip",
        "toybox-detector",
        "toybox-detector",
        "verbatim",
    )
    assert found.rules == RULES != GENEVAL
    odd = replace(
        paper(toys, None, {}), objects=(Prompt("single_object", "a bench", (Requirement("bench", 1),)),)
    )
    with pytest.raises(InputError, match="toybox-detector does not know 'bench'"):
        examiners(odd, torch.device("cpu"))
