"""GenEval: are the objects that a prompt asks for there, in number, colour and place (Ghosh et al. 2023)?

The rules are the published script's; who finds objects and who names colours are two small protocols, so that
any detector, or one of toys, can do it. The prompts come from a file of `evaluation_metadata.jsonl`'s layout.
The thresholds are Mask2Former's, and a value is compared with values of the same detector only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics.base import Interval, Score, joint_fingerprint
from apdm.metrics.statistics import bootstrap, pooled_share
from apdm.types import Pixels
from apdm.watch import Watch, silent

TASKS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
RELATIONS = ("left of", "right of", "above", "below")

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


@dataclass(frozen=True)
class Detection:
    """One object in a picture; a detector without masks leaves them out."""

    label: str
    confidence: float
    box: Box
    mask: Bool[Tensor, "h w"] | None = None


class Detector(Protocol):
    """Finds objects of the classes `labels`: one list for each picture, in any order, none left out."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def labels(self) -> Collection[str]: ...
    def __call__(self, pixels: Pixels) -> list[list[Detection]]: ...


class ColourNamer(Protocol):
    """Says which of `colours` each of the objects found in one picture [1 3 h w] has."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def colours(self) -> Collection[str]: ...
    def __call__(self, pixels: Pixels, found: Sequence[Detection]) -> list[str]: ...


@dataclass(frozen=True)
class Rules:
    """What counts as found, and as beside."""

    threshold: float = 0.3
    """A detection's confidence must be above it [GenEval]."""
    counting_threshold: float = 0.9
    """The same where objects are counted [GenEval]."""
    max_objects: int = 16
    """Of a class, the most confident ones [GenEval]."""
    max_overlap: float = 1.0
    """A detection that overlaps a more confident one of its class by as much (intersection over union) is the
    same object; 1: never [GenEval]."""
    position_threshold: float = 0.1
    """Share of two boxes' sides by which their centres may differ and not count as apart [GenEval]."""


GENEVAL = Rules()


@dataclass(frozen=True)
class Requirement:
    """So many objects of a class, of a colour, in a relation to those of an earlier requirement."""

    label: str
    count: int
    colour: str | None = None
    position: tuple[str, int] | None = None


@dataclass(frozen=True)
class Prompt:
    """What a picture must show (`include`), and of what it may only show fewer (`exclude`)."""

    task: str
    text: str
    include: tuple[Requirement, ...]
    exclude: tuple[Requirement, ...] = ()


@dataclass(frozen=True)
class GenEval:
    """`tasks`: the share of right pictures in each task; n counts pictures. `overall`: their plain mean.
    `prompts`: the share of prompts with a right picture; n counts prompts. Intervals are over prompts."""

    overall: Score
    tasks: Mapping[str, Score]
    prompts: Score


def read_prompts(path: Path) -> tuple[Prompt, ...]:
    """One JSON object a line, with tag, prompt, include and perhaps exclude.

    Raises `InputError` for a file of another layout or without a prompt.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error})", fix="give evaluation_metadata.jsonl") from error
    prompts = tuple(
        _prompt(line, f"line {i} of {path}") for i, line in enumerate(lines, start=1) if line.strip()
    )
    if not prompts:
        raise InputError(f"{path} holds no prompt", fix="give evaluation_metadata.jsonl")
    return prompts


def kept(found: Sequence[Detection], task: str, rules: Rules = GENEVAL) -> dict[str, list[Detection]]:
    """The detections that count, the most confident first, by class."""
    least = rules.counting_threshold if task == "counting" else rules.threshold
    objects: dict[str, list[Detection]] = {}
    for label in dict.fromkeys(detection.label for detection in found):
        alike = [d for d in found if d.label == label and d.confidence > least]
        first = sorted(alike, key=lambda d: d.confidence, reverse=True)[: rules.max_objects]
        if rules.max_overlap < 1:
            first = _apart(first, rules.max_overlap)
        objects[label] = first
    return objects


def relations(a: Box, b: Box, threshold: float = GENEVAL.position_threshold) -> set[str]:
    """Where `a` lies as seen from `b`: none, one or two of `RELATIONS`.

    Along each axis, of the way between the centres only what goes beyond `threshold` times both boxes' sides
    counts, and it must make up more than half of the whole way.
    """
    dx, dy = (a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2
    width, height = a[2] - a[0] + b[2] - b[0], a[3] - a[1] + b[3] - b[1]
    x = math.copysign(max(abs(dx) - threshold * width, 0), dx)
    y = math.copysign(max(abs(dy) - threshold * height, 0), dy)
    if max(abs(x), abs(y)) < 1e-3:
        return set()
    way = math.hypot(dx, dy)
    held = (x / way < -0.5, x / way > 0.5, y / way < -0.5, y / way > 0.5)
    return {name for name, holds in zip(RELATIONS, held, strict=True) if holds}


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def is_right(
    pixels: Pixels, found: Sequence[Detection], prompt: Prompt, colours: ColourNamer, rules: Rules = GENEVAL
) -> bool:
    """Whether one picture [1 3 h w], in which these objects were found, shows what its prompt asks for.

    Of each class the `count` most confident ones are looked at, and all of them must have the colour, and lie
    at the side of all that the other requirement matched.
    """
    objects = kept(found, prompt.task, rules)
    groups: list[list[Detection] | None] = []
    for wanted in prompt.include:
        some = objects.get(wanted.label, [])[: wanted.count]
        matched = (
            len(some) == wanted.count
            and (wanted.colour is None or colours(pixels, some).count(wanted.colour) == wanted.count)
            and (
                wanted.position is None or _lies(some, groups[wanted.position[1]], wanted.position[0], rules)
            )
        )
        groups.append(some if matched else None)
    spare = any(len(objects.get(unwanted.label, [])) >= unwanted.count for unwanted in prompt.exclude)
    return None not in groups and not spare


def geneval(
    prompts: Sequence[Prompt],
    pictures: Callable[[int], Pixels],
    detector: Detector,
    colours: ColourNamer,
    rules: Rules = GENEVAL,
    *,
    seed: int,
    watch: Watch = silent,
) -> GenEval:
    """GenEval of the pictures that `right_pictures` asks for.

    `overall` is the mean over the tasks that the prompts have, all six of them in the published file.
    """
    every = right_pictures(prompts, pictures, detector, colours, rules, watch)
    samples = by_task(prompts, every)

    def score(metric: str, interval: Interval, n: float) -> Score:
        return Score.of(
            interval,
            metric=metric,
            n=int(n),
            direction=Direction.HIGHER_PRESERVES,
            extractor=f"{detector.name}, {colours.name}",
            fingerprint=joint_fingerprint(detector.fingerprint, colours.fingerprint),
        )

    return GenEval(
        overall=score("GenEval", bootstrap(mean_of_tasks, *samples.values(), seed=seed), every[:, 1].sum()),
        tasks={
            task: score(f"GenEval, {task}", bootstrap(pooled_share, some, seed=seed), some[:, 1].sum())
            for task, some in samples.items()
        },
        prompts=score("GenEval, prompts", bootstrap(share_with_any, every, seed=seed), len(every)),
    )


def right_pictures(
    prompts: Sequence[Prompt],
    pictures: Callable[[int], Pixels],
    detector: Detector,
    colours: ColourNamer,
    rules: Rules = GENEVAL,
    watch: Watch = silent,
) -> Float[ndarray, "prompts 2"]:
    """How many pictures of each prompt are right, of how many; `pictures` gives a prompt's by its number.

    Raises `InputError` for no prompt, a class or colour that detector or namer does not know, or a prompt
    without a picture.
    """
    check_words(prompts, detector, colours)
    counts: list[tuple[int, int]] = []
    for number, prompt in enumerate(prompts):
        watch("GenEval", number, len(prompts), {})
        pixels = pictures(number)
        if len(pixels) == 0:
            raise InputError(f"'{prompt.text}' has no picture", fix="draw one or more")
        seen = zip(pixels.split(1), detector(pixels), strict=True)
        right = sum(is_right(picture, found, prompt, colours, rules) for picture, found in seen)
        counts.append((right, len(pixels)))
    watch("GenEval", len(prompts), len(prompts), {})
    return np.array(counts, dtype=float)


def by_task(
    prompts: Sequence[Prompt], values: Float[ndarray, "prompts *n"]
) -> dict[str, Float[ndarray, "some *n"]]:
    """The values of each task's prompts; tasks in the order of `TASKS`, those without a prompt left out."""
    tasks = np.array([prompt.task for prompt in prompts])
    return {task: values[tasks == task] for task in TASKS if task in tasks}


def mean_of_tasks(*tasks: Float[ndarray, "prompts 2"]) -> float:
    """Mean of the tasks' shares of right pictures."""
    return float(np.mean([pooled_share(task) for task in tasks]))


def share_with_any(counts: Float[ndarray, "prompts 2"]) -> float:
    """Share of prompts with a right picture."""
    return float((counts[:, 0] > 0).mean())


def _lies(some: Sequence[Detection], others: Sequence[Detection] | None, where: str, rules: Rules) -> bool:
    return others is not None and all(
        where in relations(a.box, b.box, rules.position_threshold) for a in some for b in others
    )


def _apart(ordered: Sequence[Detection], max_overlap: float) -> list[Detection]:
    """Those that overlap no earlier one of the list too much."""
    apart: list[Detection] = []
    for detection in ordered:
        if all(overlap(detection.box, earlier.box) < max_overlap for earlier in apart):
            apart.append(detection)
    return apart


def check_words(prompts: Sequence[Prompt], detector: Detector, colours: ColourNamer) -> None:
    """Raises `InputError` for no prompt, and for a class or a colour that nobody knows."""
    if not prompts:
        raise InputError("there is no prompt", fix="give one or more")
    wanted = [requirement for prompt in prompts for requirement in (*prompt.include, *prompt.exclude)]
    for known, asked, who in (
        (detector.labels, {w.label for w in wanted}, detector.name),
        (colours.colours, {w.colour for w in wanted if w.colour}, colours.name),
    ):
        if unknown := sorted(asked - set(known)):
            raise InputError(f"{who} does not know '{unknown[0]}'", fix="name its classes as the prompts do")


def _prompt(line: str, where: str) -> Prompt:
    try:
        entry = json.loads(line)
        include, exclude = (tuple(map(_requirement, entry.get(key, ()))) for key in ("include", "exclude"))
        prompt = Prompt(entry["tag"], entry["prompt"], include, exclude)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{where} cannot be used ({error})", fix="see GenEval's own file") from error
    if prompt.task not in TASKS:
        raise InputError(f"{where} has the task '{prompt.task}'", fix=f"known are {', '.join(TASKS)}")
    for place, requirement in enumerate(include):
        if requirement.position and not 0 <= requirement.position[1] < place:
            raise InputError(f"{where} refers to what does not stand before it", fix="see GenEval's own file")
    return prompt


def _requirement(entry: Any) -> Requirement:
    where = entry.get("position")
    if where is not None and where[0] not in RELATIONS:
        raise ValueError(f"position '{where[0]}'")
    position = (where[0], int(where[1])) if where is not None else None
    return Requirement(entry["class"], int(entry["count"]), entry.get("color"), position)
