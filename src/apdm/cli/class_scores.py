"""What `apdm evaluate` is told of class images: who looks at them, and what they were drawn from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from apdm.benchmark.class_images import TITLES
from apdm.benchmark.store import CONFIG_FILE
from apdm.errors import InputError
from apdm.metrics.inception import is_url, weights_file

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
    for name, flag in {"references": "references", **TITLES}.items():
        if counts.get(name, LEAST) < LEAST:
            raise InputError(f"--{flag} holds {counts[name]} pictures", fix=f"give {LEAST} or more")


def prompts_of(folders: Mapping[str, Path | None], counts: Mapping[str, int]) -> dict[str, list[str]]:
    """Of each set of class images that says what it was drawn from."""
    told = {name: _prompts(place, counts[name]) for name in TITLES if (place := folders[name])}
    return {name: prompts for name, prompts in told.items() if prompts}


def _prompts(folder: Path, count: int) -> list[str]:
    """What 'apdm generate' drew each of `count` pictures from; none if it does not say so beside them."""
    settings = folder / CONFIG_FILE
    told = json.loads(settings.read_text()) if settings.is_file() else {}
    prompts = [prompt for prompt in told.get("prompt", ()) for _ in range(told.get("num_images", 0))]
    if prompts and len(prompts) != count:
        print(f"{folder}: {count} pictures, but {len(prompts)} were drawn; no CLIP score")
        return []
    return prompts
