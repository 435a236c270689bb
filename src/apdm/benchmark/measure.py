"""From a trial's pictures to its figures: similarities, strengths and rates, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from apdm.benchmark.record import BeforeAfter, Figure, Similarity, SubjectResult
from apdm.benchmark.trial import TrialPictures
from apdm.direction import Direction
from apdm.metrics import brisque
from apdm.metrics.base import FeatureExtractor, Interval, Score
from apdm.metrics.kid import kid_score
from apdm.metrics.similarity import per_image_similarity, similarity_within
from apdm.metrics.statistics import (
    Cell,
    Statistic,
    attack_strength,
    hierarchical_bootstrap,
    protection_rate,
    strength_ratio,
)
from apdm.seeding import generator
from apdm.subject import Subject
from apdm.types import Pixels
from apdm.watch import Watch, silent

BRISQUE_DIRECTIONS = {
    "attacked_unprotected": Direction.REFERENCE,
    "attacked_protected": Direction.HIGHER_PROTECTS,
    "class_unprotected": Direction.REFERENCE,
    "class_protected": Direction.LOWER_PRESERVES,
}
NOISE_PICTURES = 16  # our choice: uniform noise, what the judge makes of no picture at all


def measure(
    pictures: TrialPictures,
    subject: Subject,
    other: Subject,
    judge: FeatureExtractor,
    distance: FeatureExtractor,
    class_references: Pixels,
    size: int,
    seed: int,
    watch: Watch = silent,
) -> SubjectResult:
    """All figures of one subject. `judge` sees who it is, `distance` carries KID between the class's
    pictures and `class_references`; `size` is the side of the pictures in pixels."""

    def told(done: int) -> None:
        watch(f"measure {subject.name}", done, 4, {})

    told(0)
    cells = subject_cells(pictures, subject, judge, size)
    strength, rate = strength_and_rate(cells, seed)
    similarity = similarities(cells, subject, other, judge, size, seed)
    told(1)
    ratio = other_subject_ratio(pictures, other, judge, size, seed)
    told(2)
    kid = BeforeAfter(
        kid_figure(distance, pictures.class_images_unprotected, class_references, seed),
        kid_figure(distance, pictures.class_images_protected, class_references, seed),
    )
    told(3)
    defects = brisque_figures(pictures, seed)
    told(4)
    return SubjectResult(
        name=subject.name,
        class_noun=subject.class_noun,
        similarity=similarity,
        attack_strength=strength,
        protection_rate=rate,
        other_subject_strength_ratio=ratio,
        kid=kid,
        brisque=defects,
        seconds={name: round(value, 1) for name, value in pictures.seconds.items()},
    )


def other_subject_ratio(
    pictures: TrialPictures, other: Subject, judge: FeatureExtractor, size: int, seed: int
) -> Figure:
    """The attack's strength on `other` on the protected model over that on the unprotected one."""
    cells = {
        "unprotected": per_run(judge, pictures.other_attacked_unprotected.runs, other, size),
        "protected": per_run(judge, pictures.other_attacked_protected.runs, other, size),
        "class": per_run(judge, [pictures.class_unprotected], other, size),
        "real": real(judge, other, size),
    }
    return figure(strength_ratio, cells, seed, Direction.HIGHER_PRESERVES)


def brisque_figures(pictures: TrialPictures, seed: int) -> dict[str, Figure]:
    """BRISQUE of each set that is shown."""
    shown = {
        "attacked_unprotected": pictures.attacked_unprotected.shown,
        "attacked_protected": pictures.attacked_protected.shown,
        "class_unprotected": pictures.class_unprotected,
        "class_protected": pictures.class_protected,
    }
    return {name: brisque_figure(some, seed, BRISQUE_DIRECTIONS[name]) for name, some in shown.items()}


def subject_cells(
    pictures: TrialPictures, subject: Subject, judge: FeatureExtractor, size: int
) -> dict[str, Cell]:
    """Similarity to the subject's held-out photos of every picture that strength and rate rest on."""
    return {
        "unprotected": per_run(judge, pictures.attacked_unprotected.runs, subject, size),
        "protected": per_run(judge, pictures.attacked_protected.runs, subject, size),
        "class": per_run(judge, [pictures.class_unprotected], subject, size),
        "real": real(judge, subject, size),
    }


def per_run(judge: FeatureExtractor, runs: Sequence[Pixels], subject: Subject, size: int) -> Cell:
    """One subject's cell: for each run the pictures' mean cosines to the held-out photos."""
    references = subject.pixels("held_out", size)
    return [[per_image_similarity(judge, run, references).numpy() for run in runs]]


def real(judge: FeatureExtractor, subject: Subject, size: int) -> Cell:
    """Its own photos' cell. Where all sets are the same, each photo is compared with the others only."""
    if subject.protect == subject.held_out:
        return [[similarity_within(judge, subject.pixels("held_out", size)).numpy()]]
    return per_run(judge, [own_photos(subject, size)], subject, size)


def own_photos(subject: Subject, size: int) -> Pixels:
    """The subject's photos that are not held out; where all sets are the same, these."""
    sets = ("protect",) if subject.protect == subject.attack else ("protect", "attack")
    return torch.cat([subject.pixels(name, size) for name in sets])


def similarities(
    cells: Mapping[str, Cell],
    subject: Subject,
    other: Subject | None,
    judge: FeatureExtractor,
    size: int,
    seed: int,
) -> Similarity:
    """S of every kind of picture, with its interval over attack seeds and images."""
    noise = torch.rand(NOISE_PICTURES, 3, size, size, generator=generator(seed, "noise pictures")) * 2 - 1

    def mean(cell: Cell, direction: Direction = Direction.REFERENCE) -> Figure:
        return figure(lambda means: means["it"], {"it": cell}, seed, direction, judge)

    return Similarity(
        real=mean(cells["real"]),
        attacked_unprotected=mean(cells["unprotected"]),
        attacked_protected=mean(cells["protected"], Direction.LOWER_PROTECTS),
        class_prompt=mean(cells["class"]),
        noise=mean(per_run(judge, [noise], subject, size)),
        random_other=mean(per_run(judge, [own_photos(other, size)], subject, size)) if other else None,
    )


def strength(cells: Mapping[str, Cell], seed: int) -> Figure:
    """The attack strength of "unprotected", which rests on its own pictures only."""
    return figure(attack_strength, cells, seed, Direction.REFERENCE, rests_on=("unprotected",))


def strength_and_rate(cells: Mapping[str, Cell], seed: int) -> tuple[Figure, Figure]:
    """The control's attack strength, and the protection rate."""
    return strength(cells, seed), figure(protection_rate, cells, seed, Direction.HIGHER_PROTECTS)


def figure(
    statistic: Statistic,
    cells: Mapping[str, Cell],
    seed: int,
    direction: Direction,
    judge: FeatureExtractor | None = None,
    rests_on: Sequence[str] = ("unprotected", "protected"),
) -> Figure:
    """`statistic` with its bootstrap interval; n counts the pictures of the attacks that it `rests_on`,
    or all where there is no attack."""
    interval = hierarchical_bootstrap(statistic, cells, seed=seed)
    counted = [key for key in cells if key in rests_on] or list(cells)
    n = sum(len(images) for key in counted for runs in cells[key] for images in runs)
    return recorded(interval, n, direction, judge)


def kid_figure(distance: FeatureExtractor, images: Pixels, references: Pixels, seed: int) -> Figure:
    return scored(kid_score(distance, images, references, seed=seed))


def brisque_figure(images: Pixels, seed: int, direction: Direction = Direction.REFERENCE) -> Figure:
    return scored(brisque.brisque_score(images, seed=seed, direction=direction))


def recorded(
    interval: Interval, n: int, direction: Direction, judge: FeatureExtractor | None = None
) -> Figure:
    """The record's form of an estimate, seen by `judge` unless it is derived from others."""
    extractor, fingerprint = (judge.name, judge.fingerprint) if judge else (None, None)
    return Figure(*_rounded(interval), n, extractor, direction, fingerprint)


def scored(score: Score) -> Figure:
    """The record's form of a score."""
    return Figure(
        *_rounded(score), score.n, score.extractor, score.direction, score.fingerprint, score.excluded
    )


def _rounded(interval: Interval) -> tuple[float, float, float]:
    """Value, low and high, rounded where floating point starts to differ."""
    return round(interval.value, 6), round(interval.low, 6), round(interval.high, 6)
