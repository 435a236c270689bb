"""What `apdm evaluate` says of class images: how they fit their prompts, how far they are from real ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apdm.benchmark.measure import recorded, scored
from apdm.benchmark.record import BeforeAfter, Figure
from apdm.benchmark.store import CONFIG_FILE
from apdm.cli.figures import CLASS_FLAGS, Measured, check_network
from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics.base import FeatureExtractor, Interval
from apdm.metrics.inception import NAME as INCEPTION
from apdm.metrics.inception import is_url, weights_file
from apdm.types import Pixels
from apdm.watch import Watch

if TYPE_CHECKING:
    from apdm.metrics.clip import ClipExtractor

KID = f"KID over {INCEPTION}"
DRAWN = ("prompt", "num_images", "seed", "sampling")  # what two folders that are laid side by side share
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
    if clip:
        check_network(clip, "clip")
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
    for name in CLASS_FLAGS:
        folder = folders[name]
        prompts = _prompts(folder, len(pictures[name])) if folder else []
        if prompts:
            figures[name] = scored(clip_score(clip, pictures[name], prompts, seed=seed))
    return figures


def distance_figures(
    distances: Mapping[str, Callable[..., Interval]],
    eye: FeatureExtractor,
    pictures: Mapping[str, Pixels],
    references: Pixels | None,
    seed: int,
    watch: Watch,
) -> Measured:
    """Every distance of each set of class images to the references, each picture looked at once."""
    if references is None:
        return {}
    figures: Measured = {f"{title} over {eye.name}": {} for title in distances}
    sets = [name for name in CLASS_FLAGS if name in pictures]
    watch(eye.name, 0, len(sets), {})
    known = eye(references)
    for done, name in enumerate(sets, start=1):
        seen = eye(pictures[name])
        for title, distance in distances.items():
            interval = distance(seen, known, seed=seed)
            found = recorded(interval, len(seen), Direction.LOWER_PRESERVES, eye)
            figures[f"{title} over {eye.name}"][name] = found
        watch(eye.name, done, len(sets), {})
    return figures


def kid_before_and_after(measured: Measured) -> BeforeAfter | None:
    """By Inception, if both sets of class images were measured."""
    found = measured.get(KID, {})
    return BeforeAfter(*(found[name] for name in CLASS_FLAGS)) if found.keys() == CLASS_FLAGS.keys() else None


def drawn(folder: Path) -> dict[str, Any]:
    """With what 'apdm generate' drew the pictures in `folder`; empty if it does not say so beside them."""
    settings = folder / CONFIG_FILE
    try:
        told = json.loads(settings.read_text()) if settings.is_file() else {}
    except ValueError:
        return {}
    return {name: told[name] for name in DRAWN if name in told} if _readable(told) else {}


def _readable(told: Any) -> bool:
    """Whether prompts and their number are what they are called, where they are told."""
    if not isinstance(told, dict):
        return False
    prompts, number = told.get("prompt", []), told.get("num_images", 0)
    texts = isinstance(prompts, list) and all(isinstance(prompt, str) for prompt in prompts)
    return texts and isinstance(number, int)


def _prompts(folder: Path, count: int) -> list[str]:
    """What 'apdm generate' drew each of `count` pictures from; none if it does not say so beside them."""
    told = drawn(folder)
    prompts = [prompt for prompt in told.get("prompt", ()) for _ in range(told.get("num_images", 0))]
    if prompts and len(prompts) != count:
        print(f"{folder}: {count} pictures, but {len(prompts)} were drawn; no CLIP score")
        return []
    return prompts
