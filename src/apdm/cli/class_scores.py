"""What `apdm evaluate` says of class images: how they fit their prompts, how far they are from real ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from apdm.benchmark.measure import recorded, scored
from apdm.benchmark.record import BeforeAfter, Figure
from apdm.benchmark.store import CONFIG_FILE
from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics.base import FeatureExtractor, Interval
from apdm.metrics.inception import NAME as INCEPTION
from apdm.metrics.inception import is_url, weights_file
from apdm.types import Pixels
from apdm.watch import Watch

if TYPE_CHECKING:
    from apdm.metrics.clip import ClipExtractor

CLASS_FLAGS = {"class_unprotected": "class_images", "class_protected": "class_images_protected"}
LEAST = 4  # pictures that a distance can be taken of


def check_judges(
    clip: str | None, inception: str | None, references: Path | None, *, class_images: bool
) -> None:
    """What can be wrong with the judges, found before any picture is read. Raises `InputError`."""
    if inception and not references:
        raise InputError("--inception measures a distance to --references", fix="give both")
    if references and not (inception or clip):
        raise InputError("nothing looks at --references", fix="give --inception or --clip")
    if references and not class_images:
        raise InputError("--references are for class images", fix="give --class_images_protected")
    if clip and not Path(clip).is_dir() and clip.count("/") != 1:
        raise InputError(f"there is no CLIP '{clip}'", fix="give its folder or its hub id")
    if inception and not is_url(inception):
        weights_file(inception)


def check_numbers(counts: Mapping[str, int]) -> None:
    """Raises `InputError` where a set is too small for a distance."""
    for name, flag in {"references": "references", **CLASS_FLAGS}.items():
        if counts.get(name, LEAST) < LEAST:
            raise InputError(f"--{flag} holds {counts[name]} pictures", fix=f"give {LEAST} or more")


def prompt_figures(
    clip: ClipExtractor, pictures: Mapping[str, Pixels], folders: Mapping[str, Path | None], seed: int
) -> dict[str, Figure]:
    """The CLIP score of each set of class images that says what it was drawn from."""
    from apdm.metrics.clip import clip_score  # loads transformers

    figures: dict[str, Figure] = {}
    for name, flag in CLASS_FLAGS.items():
        folder = folders[name]
        prompts = _prompts(folder, len(pictures[name])) if folder else []
        if prompts:
            figures[f"CLIP score of {flag}"] = scored(clip_score(clip, pictures[name], prompts, seed=seed))
    return figures


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
    sets = [name for name in CLASS_FLAGS if name in pictures]
    watch(eye.name, 0, len(sets), {})
    known = eye(references)
    for done, name in enumerate(sets, start=1):
        seen = eye(pictures[name])
        for title, distance in distances.items():
            interval = distance(seen, known, seed=seed)
            found = recorded(interval, len(seen), Direction.LOWER_PRESERVES, eye)
            figures[f"{title} over {eye.name} of {CLASS_FLAGS[name]}"] = found
        watch(eye.name, done, len(sets), {})
    return figures


def kid_before_and_after(figures: Mapping[str, Figure]) -> BeforeAfter | None:
    """By Inception, if both sets of class images were measured."""
    titles = [f"KID over {INCEPTION} of {flag}" for flag in CLASS_FLAGS.values()]
    return BeforeAfter(*(figures[title] for title in titles)) if set(titles) <= set(figures) else None


def _prompts(folder: Path, count: int) -> list[str]:
    """What 'apdm generate' drew each of `count` pictures from; none if it does not say so beside them."""
    settings = folder / CONFIG_FILE
    told = json.loads(settings.read_text()) if settings.is_file() else {}
    prompts = [prompt for prompt in told.get("prompt", ()) for _ in range(told.get("num_images", 0))]
    if prompts and len(prompts) != count:
        print(f"{folder}: {count} pictures, but {len(prompts)} were drawn; no CLIP score")
        return []
    return prompts
