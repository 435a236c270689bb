"""What a model must still be able to do: what it is asked to draw, by what that is judged, and by whom.

`Exam` is what a scenario says, a `Paper` the same with every prompt read, so that a wrong path is found
before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from apdm.benchmark.frozen.workshop import held_out_scene
from apdm.benchmark.store import plain
from apdm.benchmark.tables.works import digest
from apdm.errors import InputError, at_least
from apdm.metrics import geneval, tifa
from apdm.prompts import read_captions
from apdm.toybox.object_prompts import object_prompts
from apdm.toybox.questions import questions_of

CAPTIONS, ASKED, OBJECTS = "captions", "asked", "objects"  # the three sets of pictures
PICTURES = (".png", ".jpg", ".jpeg", ".webp")

Which = Mapping[str, tuple[int | str, ...]]  # by class noun: toys by number, or folders below --data


@dataclass(frozen=True)
class Exam:
    """A number asks for so many of the Toybox's own, a text for a file or folder below --data."""

    captions: int | str
    """To draw, one picture each, for FID, KID and the CLIP score: captions of held-out scenes, or a file with
    one a line or COCO's captions_*.json (of each photo the first)."""
    references: int | str
    """What FID and KID compare with: renders of held-out scenes, or a folder of pictures."""
    questions: int | str
    """TIFA's: about so many held-out scenes, or its file of questions."""
    objects: int | str
    """GenEval's prompts: so many of each task in the Toybox's words, or its file of prompts."""
    distance: str
    """The judge whose features carry FID and KID."""
    clip: str
    """toybox-clip, or a CLIP's folder or hub id."""
    answerer: str
    """Of TIFA's questions: toybox-detector, or a VQA network's folder or hub id."""
    detector: str
    """GenEval's: toybox-detector, or an instance segmenter's or OWL-ViT's folder or hub id, with CLIP for
    colours."""
    class_names: str = ""
    """A file with the segmenter's classes, one a line, where the prompts call them otherwise than it and
    COCO do."""
    sentences: str = ""
    """Maps free answers to choices; not needed by an answerer that answers with choices."""
    first: int | None = None
    """So many of a file's captions, its first; all if not given."""
    first_references: int | None = None
    """So many of a folder's pictures, its first by name; all if not given. KID's memory grows with their
    square."""
    pictures_per_prompt: int = 4
    """GenEval's, of each prompt [GenEval]."""
    timed: int = 5
    """Batches of captions that both models draw in turn, for the time they take [our choice]."""
    others: Which = field(default_factory=dict)
    """Who else is personalised on a protected model: those of the subject's class, and of other classes."""
    neighbours: Which = field(default_factory=dict)
    """For each of the size's subjects one that is like it, personalised too."""

    def __post_init__(self) -> None:
        halved = dict.fromkeys(("captions", "references", "first", "first_references"), 4)  # as FID asks for
        least = {**halved, "questions": 1, "objects": 1}
        counts = {name: at for name, at in least.items() if isinstance(getattr(self, name), int)}
        at_least(self, pictures_per_prompt=1, timed=1, **counts)


@dataclass(frozen=True)
class Paper:
    """An exam with all its prompts. `references` are so many renders, or files."""

    captions: tuple[str, ...]
    asked: Mapping[str, str]
    """The captions that TIFA's questions are about, by their ids."""
    questions: tuple[tifa.Question, ...]
    objects: tuple[geneval.Prompt, ...]
    references: int | tuple[Path, ...]
    class_names: tuple[str, ...] | None
    exam: Exam
    weights: Mapping[str, str]
    """What tells each judge's weights from others."""

    def prompts(self, name: str) -> tuple[str, ...]:
        """One for each picture of the set called `name`."""
        if name == OBJECTS:
            return tuple(it.text for it in self.objects for _ in range(self.exam.pictures_per_prompt))
        return self.captions if name == CAPTIONS else tuple(self.asked.values())

    @cached_property
    def about(self) -> Mapping[str, object]:
        """All that the marks depend on beyond the model."""
        return {
            **{f"{name} drawn": digest(self.prompts(name)) for name in (CAPTIONS, ASKED, OBJECTS)},
            "questions": digest(plain(self.questions)),
            "objects": digest(plain(self.objects)),
            "references": self.referred,
            "class names": self.class_names,
            "judges": dict(self.weights),
            "timed": self.exam.timed,
        }

    @property
    def referred(self) -> object:
        """What tells the references from others; of files their names and sizes."""
        if isinstance(self.references, int):
            return self.references
        return digest([(it.name, it.stat().st_size) for it in self.references])


def paper(exam: Exam, data: Path | None, weights: Mapping[str, str]) -> Paper:
    """Reads all that `exam` names. Raises `InputError` for a file that is missing or of another layout."""
    return Paper(
        captions=_captions(exam, data),
        objects=_objects(exam, data),
        references=_references(exam, data),
        class_names=_class_names(exam, data),
        exam=exam,
        weights=weights,
        **_questions(exam, data),
    )


def _captions(exam: Exam, data: Path | None) -> tuple[str, ...]:
    if isinstance(exam.captions, int):
        return tuple(held_out_scene(index).caption for index in range(exam.captions))
    captions = read_captions(_below(data, exam.captions))[: exam.first]
    if len(captions) < (exam.first or 4):
        raise InputError(f"'{exam.captions}' has {len(captions)} captions", fix="give a file with more")
    return captions


def _questions(exam: Exam, data: Path | None) -> dict[str, Any]:
    if isinstance(exam.questions, int):
        scenes = {str(index): held_out_scene(index) for index in range(exam.questions)}
        asked = {id: described.caption for id, described in scenes.items()}
        return {"asked": asked, "questions": tuple(q for it in scenes.items() for q in questions_of(*it))}
    path = _below(data, exam.questions)
    return {"asked": tifa.read_captions(path), "questions": tifa.read_questions(path)}


def _objects(exam: Exam, data: Path | None) -> tuple[geneval.Prompt, ...]:
    if isinstance(exam.objects, int):
        return object_prompts(exam.objects)
    return geneval.read_prompts(_below(data, exam.objects))


def _class_names(exam: Exam, data: Path | None) -> tuple[str, ...] | None:
    if not exam.class_names:
        return None
    from apdm.metrics.detectors import read_names  # loads transformers

    return read_names(_below(data, exam.class_names))


def _references(exam: Exam, data: Path | None) -> int | tuple[Path, ...]:
    if isinstance(exam.references, int):
        return exam.references
    folder = _below(data, exam.references)
    files = tuple(sorted(it for it in folder.glob("*") if it.suffix.lower() in PICTURES))
    files = files[: exam.first_references]
    if len(files) < (exam.first_references or 4):
        raise InputError(
            f"'{folder}' holds {len(files)} pictures", fix="give a folder with the reference photos"
        )
    return files


def _below(data: Path | None, name: str) -> Path:
    if data is None and not Path(name).is_absolute():
        raise InputError(f"the exam's '{name}' is a path", fix="say below what it lies: --data DIR")
    return (data or Path()) / name
