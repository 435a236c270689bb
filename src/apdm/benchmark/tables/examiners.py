"""Who gives marks in an exam: the judges by name, those of the Toybox or networks of the field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from apdm.assets import TOYBOX_CLIP, TOYBOX_DETECTOR
from apdm.benchmark.tables.exam import Exam, Paper
from apdm.errors import InputError
from apdm.metrics.base import FeatureExtractor
from apdm.metrics.geneval import GENEVAL, ColourNamer, Detector, Rules, check_words
from apdm.metrics.judges import check_name, judge, place
from apdm.metrics.tifa import Answerer, SentenceEncoder
from apdm.toybox.questions import check_forms

SHIPPED = {"clip": TOYBOX_CLIP, "answerer": TOYBOX_DETECTOR, "detector": TOYBOX_DETECTOR}  # by purpose


@dataclass(frozen=True)
class Examiners:
    """One for each mark. `clip` sees pictures, and prompts by its `text`."""

    distance: FeatureExtractor
    clip: Any
    answerer: Answerer
    encoder: SentenceEncoder
    detector: Detector
    colours: ColourNamer
    rules: Rules = GENEVAL
    """What counts as found by this detector."""


class Verbatim:
    """`SentenceEncoder` of an answerer whose answers are choices: there is nothing to map."""

    name, fingerprint = "verbatim", ""

    def __call__(self, texts: Sequence[str]) -> Tensor:
        raise InputError(f"'{texts[0]}' is none of {', '.join(texts[1:])}", fix="name a sentence encoder")


def places(exam: Exam) -> dict[str, str]:
    """Where each judge lies: a file, a folder, a hub id or a name. Raises `InputError` for what can be none;
    loads nothing."""
    check_name(exam.distance)
    purposes = ["clip", "answerer", "detector", *([] if _ships("answerer", exam) else ["sentences"])]
    return {"distance": place(exam.distance), **{purpose: _place(purpose, exam) for purpose in purposes}}


def check_questions(paper: Paper) -> None:
    """Raises `InputError` where the Toybox's detector is asked what it does not understand; loads nothing."""
    if _ships("answerer", paper.exam):
        check_forms([it.question for it in paper.questions])


def _ships(purpose: str, exam: Exam) -> bool:
    """Whether it is the Toybox's judge for this purpose."""
    return purpose in SHIPPED and getattr(exam, purpose) == SHIPPED[purpose].name


def _place(purpose: str, exam: Exam) -> str:
    name: str = getattr(exam, purpose)
    if _ships(purpose, exam):
        return str(SHIPPED[purpose].folder())
    if not (name and Path(name).is_dir()) and name.count("/") != 1:
        ours = f"{SHIPPED[purpose].name}, " if purpose in SHIPPED else ""
        raise InputError(f"exam.{purpose} is '{name}'", fix=f"use {ours}a network's folder or its hub id")
    return name


def examiners(paper: Paper, device: torch.device) -> Examiners:
    """All of them, loaded; networks of the field on `device`. Raises `InputError`, also where the detector
    does not know a class or a colour of the paper."""
    from apdm.metrics.clip import ClipExtractor  # loads transformers, as the others do

    exam, at = paper.exam, places(paper.exam)
    clip = _on(ClipExtractor(at["clip"]), device)
    detector, colours, rules = _detector(paper, at["detector"], clip, device)
    check_words(paper.objects, detector, colours)
    answerer, encoder = _answerer(exam, at, device)
    return Examiners(_on(judge(exam.distance), device), clip, answerer, encoder, detector, colours, rules)


def _answerer(exam: Exam, at: dict[str, str], device: torch.device) -> tuple[Answerer, SentenceEncoder]:
    if _ships("answerer", exam):
        from apdm.metrics.toy_detector import RULES, ToyDetector
        from apdm.toybox.questions import ToyAnswerer

        return ToyAnswerer(ToyDetector(Path(at["answerer"])), RULES), Verbatim()
    from apdm.metrics.sentences import MeanPooledEncoder
    from apdm.metrics.vqa import QuestionAnswerer

    return _on(QuestionAnswerer(at["answerer"]), device), _on(MeanPooledEncoder(at["sentences"]), device)


def _detector(paper: Paper, at: str, clip: Any, device: torch.device) -> tuple[Detector, ColourNamer, Rules]:
    if _ships("detector", paper.exam):
        from apdm.metrics.toy_detector import RULES, ToyDetector

        toys = ToyDetector(Path(at))
        return toys, toys.colour_namer, RULES
    from apdm.metrics.colours import ClipColours
    from apdm.metrics.detectors import detector

    return _on(detector(at, paper.objects, paper.class_names), device), ClipColours(clip), GENEVAL


def _on(judge: Any, device: torch.device) -> Any:
    """`judge` with its network on `device`."""
    judge.network.to(device)
    return judge
