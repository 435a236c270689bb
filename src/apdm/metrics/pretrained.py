"""Networks as `transformers` keeps them: in a folder, else in this machine's cache of the hub, else there."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from transformers import AutoConfig

from apdm.errors import InputError

T = TypeVar("T")


def local_first(load: Callable[[str, bool], T], source: str | Path, what: str) -> T:
    """`load(source, local)`, first with the files on this machine only, then with the hub's.

    Raises `InputError`, which calls it a `what`, if neither can be read; an `InputError` of `load` goes on.
    """
    cause: Exception | None = None
    for local in (True,) if Path(source).is_dir() else (True, False):
        try:
            return load(str(source), local)
        except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
            cause = error
    raise InputError(
        f"no readable {what} at '{source}'", fix="give a folder with its config.json and model.safetensors"
    ) from cause


def complete(loader: Any, source: str, local: bool, types: Collection[str], fix: str, **options: Any) -> Any:
    """`loader.from_pretrained`, in evaluation mode and frozen, once every weight was found.

    Raises `InputError` where the configuration's `model_type` is none of `types`, with `fix`, or weights are
    missing, which would stay random.
    """
    config = AutoConfig.from_pretrained(source, local_files_only=local)
    if config.model_type not in types:
        raise InputError(f"'{source}' is a {config.model_type}", fix=fix)
    network, report = loader.from_pretrained(
        source, config=config, local_files_only=local, output_loading_info=True, **options
    )
    if missing := sorted(report["missing_keys"]):
        raise InputError(f"'{source}' lacks {len(missing)} weights, {missing[0]} first", fix="save it again")
    return network.eval().requires_grad_(False)


def short_name(source: str | Path) -> str:
    """What a network is called in figures: the folder's own name, or the hub id."""
    return Path(source).resolve().name if Path(source).is_dir() else str(source)
