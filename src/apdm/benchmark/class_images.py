"""What is measured of class images: how they fit their prompts, how far they are from real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from apdm.benchmark.measure import recorded, scored
from apdm.benchmark.record import BeforeAfter, Figure
from apdm.direction import Direction
from apdm.metrics.base import FeatureExtractor, Interval
from apdm.metrics.inception import NAME as INCEPTION
from apdm.types import Pixels
from apdm.watch import Watch

if TYPE_CHECKING:
    from apdm.metrics.clip import ClipExtractor

TITLES = {"class_unprotected": "class_images", "class_protected": "class_images_protected"}  # in figures


def prompt_figures(
    clip: ClipExtractor, pictures: Mapping[str, Pixels], prompts: Mapping[str, Sequence[str]], seed: int
) -> dict[str, Figure]:
    """The CLIP score of each set of class images whose prompts are known, one for each picture."""
    from apdm.metrics.clip import clip_score  # loads transformers

    return {
        f"CLIP score of {TITLES[name]}": scored(clip_score(clip, pictures[name], drawn_from, seed=seed))
        for name, drawn_from in prompts.items()
    }


def distance_figures(
    distances: Mapping[str, Callable[..., Interval]],
    eye: FeatureExtractor,
    pictures: Mapping[str, Pixels],
    references: Pixels | None,
    seed: int,
    watch: Watch,
) -> dict[str, Figure]:
    """Every distance of each set of class images to the references, each picture looked at once."""
    if references is None:
        return {}
    figures: dict[str, Figure] = {}
    sets = [name for name in TITLES if name in pictures]
    watch(eye.name, 0, len(sets), {})
    known = eye(references)
    for done, name in enumerate(sets, start=1):
        seen = eye(pictures[name])
        for title, distance in distances.items():
            interval = distance(seen, known, seed=seed)
            found = recorded(interval, len(seen), Direction.LOWER_PRESERVES, eye)
            figures[f"{title} over {eye.name} of {TITLES[name]}"] = found
        watch(eye.name, done, len(sets), {})
    return figures


def kid_before_and_after(figures: Mapping[str, Figure]) -> BeforeAfter | None:
    """By Inception, if both sets of class images were measured."""
    titles = [f"KID over {INCEPTION} of {flag}" for flag in TITLES.values()]
    return BeforeAfter(*(figures[title] for title in titles)) if set(titles) <= set(figures) else None
