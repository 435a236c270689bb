"""Intervals by the percentile bootstrap, and the two rates that this project reports.

A percentile bootstrap repeats the estimate on samples drawn with replacement from the data and reads
the interval off the repetitions (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13).
With few members on a level (two subjects) such intervals are narrower than they should be: read n.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from numpy import ndarray
from torch import Tensor

from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics.base import Interval, Score
from apdm.seeding import derive

DRAWS = 2000  # our choice; Efron & Tibshirani ask for a thousand or more for percentiles
LEVEL = 0.95
SMALLEST_GAIN = 1e-6  # that a rate is of; a smaller difference of mean cosines is rounding, our choice

Cell = Sequence[Sequence[Float[ndarray, "images"]]]  # [subject][attack seed]: a value per image
Means = Mapping[str, Float64[ndarray, "draws"]]
Statistic = Callable[[Means], Float64[ndarray, "draws"]]
Crossed = Callable[[ndarray, ndarray], float]  # of [things 1 parts] before, [things models parts] after


def bootstrap(
    estimator: Callable[..., float], *samples: Float[ndarray, "n ..."], draws: int = DRAWS, seed: int
) -> Interval:
    """Interval of `estimator(*samples)`; each sample is redrawn along its first axis by itself.

    Raises `InputError` for an empty sample.
    """
    if any(len(sample) == 0 for sample in samples):
        raise InputError("a sample to bootstrap is empty", fix="give at least one value")
    rng = np.random.default_rng(derive(seed, "bootstrap"))
    repeated = [
        estimator(*(sample[rng.integers(len(sample), size=len(sample))] for sample in samples))
        for _ in range(draws)
    ]
    return percentile_interval(float(estimator(*samples)), np.asarray(repeated, dtype=np.float64))


def mean_score(
    values: Float[ndarray, "images"],
    *,
    seed: int,
    metric: str,
    direction: Direction,
    extractor: str,
    fingerprint: str,
    excluded: int = 0,
) -> Score:
    """The mean of a metric's values of images, with its interval over them; NaN where all are `excluded`.
    Raises as `bootstrap`."""

    def mean(sample: Float[ndarray, "images"]) -> float:
        return float(sample.mean())

    nothing = excluded > 0 and len(values) == 0
    return Score.of(
        Interval(np.nan, np.nan, np.nan) if nothing else bootstrap(mean, values, seed=seed),
        metric=metric,
        n=len(values),
        direction=direction,
        extractor=extractor,
        fingerprint=fingerprint,
        excluded=excluded,
    )


def hierarchical_bootstrap(
    statistic: Statistic, cells: Mapping[str, Cell], *, draws: int = DRAWS, seed: int
) -> Interval:
    """Interval of a statistic of cell means, redrawn over subjects, attack seeds and images.

    A cell's mean counts every subject alike, and every attack seed of a subject alike. In each draw
    the subjects are chosen once for all cells; for each chosen subject the attack seeds once for all
    cells with as many seeds for it; the images of each by themselves. A level with one member keeps it.

    `statistic` maps the cells' means [draws] to its values [draws] and says NaN where it is undefined.
    Raises `InputError` if the cells differ in their subjects, are empty or hold values that are not
    finite.
    """
    _check(cells)
    rng = np.random.default_rng(derive(seed, "subjects and attack seeds"))
    subjects = len(next(iter(cells.values())))
    seeds = max(len(subject) for cell in cells.values() for subject in cell)
    chosen = rng.integers(subjects, size=(draws, subjects))
    quantiles = rng.random((draws, subjects, seeds))
    redrawn = {
        key: _redrawn_means(cell, chosen, quantiles, np.random.default_rng(derive(seed, "images", key)))
        for key, cell in cells.items()
    }
    value = statistic({key: np.array([cell_mean(cell)]) for key, cell in cells.items()})
    return percentile_interval(float(value[0]), statistic(redrawn))


def crossed_bootstrap(
    statistic: Crossed, *tasks: Float[ndarray, "things 1+models parts"], seed: int
) -> Interval:
    """Interval of the mean over `tasks` of `statistic`, the first model of each being the unprotected one:
    things redrawn within a task for all models together, and the protected models by themselves."""
    rng = np.random.default_rng(derive(seed, "crossed bootstrap"))
    models = int(tasks[0].shape[1]) - 1
    repeated: list[float] = []
    for _ in range(DRAWS):
        some = [task[rng.integers(len(task), size=len(task))] for task in tasks]
        chosen: Int[ndarray, "models"] = 1 + rng.integers(models, size=models)
        repeated.append(float(np.mean([statistic(task[:, :1], task[:, chosen]) for task in some])))
    value = np.mean([statistic(task[:, :1], task[:, 1:]) for task in tasks])
    return percentile_interval(float(value), np.array(repeated))


def halves_interval(distances: Float[ndarray, "models 1+halves"], *, seed: int) -> Interval:
    """The models' mean distance, or mean difference of two distances, from that of all pictures and those of
    random halves: -+ 1.96 standard deviations of a redrawn half's mean over redrawn models.

    As `distance_interval` has it for one model, and not cut off at zero, since a difference has a sign.
    """
    rng = np.random.default_rng(derive(seed, "halves"))
    models, halves = len(distances), distances.shape[1] - 1
    chosen = rng.integers(models, size=(DRAWS, models))
    repeated = distances[chosen, 1 + rng.integers(halves, size=(DRAWS, 1))].mean(1)
    value, reach = float(distances[:, 0].mean()), 1.96 * float(repeated.std(ddof=1))
    return Interval(value, value - reach, value + reach)


def percentile_interval(value: float, repeated: Float64[ndarray, "draws"]) -> Interval:
    """`value` with the 2.5th and 97.5th percentile of its repetitions; all NaN where `value` is.

    A repetition that is NaN could lie anywhere: it counts below everything for the lower end and above
    everything for the upper one, so an end is infinite once 2.5 % of the repetitions are undefined.
    """
    if np.isnan(value):
        return Interval(np.nan, np.nan, np.nan)
    tail = int((1 - LEVEL) / 2 * len(repeated))
    low = np.sort(np.where(np.isnan(repeated), -np.inf, repeated))[tail]
    high = np.sort(np.where(np.isnan(repeated), np.inf, repeated))[-1 - tail]
    return Interval(value, float(low), float(high))


def halves(n: int, count: int, rng: torch.Generator) -> Float64[Tensor, "count n"]:
    """Random subsets of n // 2 of n members, each a row of ones and zeros."""
    order = torch.rand(count, n, generator=rng).argsort(dim=1)
    return (order < n // 2).double()


def distance_interval(value: float, of_halves: Float64[ndarray, "halves"]) -> Interval:
    """`value` -+ 1.96 standard deviations of the same distance between random halves, not below zero.

    For distances whose bias depends on n (FID, CMMD): the halves' values lie around another centre, but
    scatter as the whole's does (see `kid.kid`). The interval speaks of that scatter and not of the bias.
    """
    value, reach = max(0.0, value), 1.96 * float(of_halves.std(ddof=1))  # rounding can end below zero
    return Interval(value, max(0.0, value - reach), value + reach)


def pooled_share(counts: Float[ndarray, "groups 2"]) -> float:
    """All that was right / all that was counted, from the two numbers of each group."""
    return float(counts[:, 0].sum() / counts[:, 1].sum())


def attack_strength(means: Means) -> Float64[ndarray, "draws"]:
    """How much of the way from "any of the class" to "the subject itself" the attack goes.

    (S_unprotected - S_class) / (S_real - S_class), from the mean similarities to the held-out photos of
    `unprotected` (the attack's pictures), `class` (the untouched model's pictures of the class) and
    `real` (photos of the subject). Our definition; never clipped, NaN where the judge does not find the
    subject's own photos more like it than the class's pictures: there is no way to go then.
    """
    return _ratio(means["unprotected"] - means["class"], means["real"] - means["class"])


def protection_rate(means: Means) -> Float64[ndarray, "draws"]:
    """How much of what the attack gains the protection takes away.

    (S_unprotected - S_protected) / (S_unprotected - S_class), the same attack on the model as it was
    and on the `protected` one. 0: none; 1: the pictures are as unlike the subject as the class is. Our
    definition; never clipped, NaN where the attack itself gains nothing.
    """
    return _ratio(means["unprotected"] - means["protected"], means["unprotected"] - means["class"])


def rate_beyond(means: Means) -> Float64[ndarray, "draws"]:
    """How much higher the protection rate is than that of a `rival` protection against the same attack.

    (S_rival - S_protected) / (S_unprotected - S_class), the difference of two `protection_rate`s. Our
    definition; NaN where the attack itself gains nothing.
    """
    return _ratio(means["rival"] - means["protected"], means["unprotected"] - means["class"])


def strength_ratio(means: Means) -> Float64[ndarray, "draws"]:
    """Attack strength on the `protected` model over that on the `unprotected` one.

    (S_protected - S_class) / (S_unprotected - S_class), of a subject that was not protected: 1 is what an
    unharmed model gives. Our definition; never clipped, NaN where the control gains nothing.
    """
    return _ratio(means["protected"] - means["class"], means["unprotected"] - means["class"])


def cell_mean(cell: Cell) -> float:
    """Mean over subjects of the mean over attack seeds of the mean over images."""
    return float(np.mean([np.mean([np.mean(images) for images in subject]) for subject in cell]))


def _ratio(part: Float64[ndarray, "draws"], gain: Float64[ndarray, "draws"]) -> Float64[ndarray, "draws"]:
    """`part` of `gain`; of a loss there is none, and its sign would turn harm into protection."""
    defined = gain > SMALLEST_GAIN
    return np.where(defined, part / np.where(defined, gain, 1.0), np.nan)


def _check(cells: Mapping[str, Cell]) -> None:
    if len({len(cell) for cell in cells.values()}) != 1:
        raise InputError(
            f"the cells {', '.join(cells)} do not hold the same subjects",
            fix="score every subject in each cell",
        )
    for key, cell in cells.items():
        images = [images for subject in cell for images in subject]
        if not images or any(len(subject) == 0 for subject in cell) or any(len(row) == 0 for row in images):
            raise InputError(f"cell '{key}' has a subject without a value", fix="score at least one image")
        if not all(np.isfinite(row).all() for row in images):
            raise InputError(
                f"cell '{key}' holds values that are not finite", fix="leave those images out and count them"
            )


def _redrawn_means(
    cell: Cell,
    chosen: Int[ndarray, "draws subjects"],
    quantiles: Float64[ndarray, "draws subjects seeds"],
    rng: np.random.Generator,
) -> Float64[ndarray, "draws"]:
    """Means [draws] of one cell for the chosen subjects and the seeds at these quantiles."""
    values, images, seeds = _padded(cell, quantiles.shape[-1])
    subject = chosen[:, :, None]
    seed = np.floor(quantiles * seeds[subject]).astype(int)
    count = images[subject, seed]  # [draws subjects seeds]
    image = np.floor(rng.random((*count.shape, values.shape[-1])) * count[..., None]).astype(int)
    redrawn = values[subject[..., None], seed[..., None], image]
    return _mean_of_first(_mean_of_first(redrawn, count), seeds[chosen]).mean(-1)


def _padded(
    cell: Cell, seeds: int
) -> tuple[
    Float64[ndarray, "subjects seeds images"], Int[ndarray, "subjects seeds"], Int[ndarray, "subjects"]
]:
    """A cell as one array, zeros where it is ragged, with the counts of images and of seeds."""
    longest = max(len(images) for subject in cell for images in subject)
    values = np.zeros((len(cell), seeds, longest))
    counts = np.zeros((len(cell), seeds), dtype=int)
    for s, subject in enumerate(cell):
        for k, images in enumerate(subject):
            values[s, k, : len(images)] = images
            counts[s, k] = len(images)
    return values, counts, np.array([len(subject) for subject in cell])


def _mean_of_first(values: Float64[ndarray, "*n m"], counts: Int[ndarray, "*n"]) -> Float64[ndarray, "*n"]:
    """Mean over the first `counts` entries of the last axis."""
    held = np.arange(values.shape[-1], dtype=np.int64) < counts[..., None]
    return np.where(held, values, 0.0).sum(-1) / counts
