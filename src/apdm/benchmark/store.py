"""Where a run's results leave the program: whole, or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from apdm.errors import InputError, one_line

CONFIG_FILE = "apdm.json"
PACKAGES = ("apdm", "torch", "diffusers", "transformers", "numpy")


def save_model(save: Callable[[Path], None], folder: Path, card: str, config: Mapping[str, Any]) -> None:
    """Writes what `save` writes, card and config into `folder`, the index by which diffusers knows a model
    last; a stop or a full disk leaves no half model there. Raises `InputError`."""
    with beside(folder) as part:
        save(part)
        (part / "README.md").write_text(card)
        write_config(config, part)
        folder.mkdir(parents=True, exist_ok=True)
        for piece in sorted(part.iterdir(), key=lambda path: path.name == "model_index.json"):
            piece.replace(folder / piece.name)


def save_file(save: Callable[[Path], None], file: Path) -> None:
    """Writes the one file that `save` writes, whole or not at all. Raises `InputError`."""
    with beside(file) as part:
        file.parent.mkdir(parents=True, exist_ok=True)
        save(part)
        part.replace(file)


@contextmanager
def beside(place: Path) -> Iterator[Path]:
    """Where to write before it is moved to `place`; nothing is left of it, however it ends."""
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        _remove(part)
        yield part
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"'{place}' could not be written ({one_line(error)})", fix="make room, or take another place"
        ) from error
    finally:
        _remove(part)


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)


def write_config(config: Mapping[str, Any], folder: Path) -> None:
    """The resolved settings, beside what was made with them."""
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")


def versions() -> dict[str, str]:
    """Of the packages that a result depends on."""
    return {package: version(package) for package in PACKAGES}


def plain(value: Any) -> Any:
    """Settings as JSON has them: dataclasses with their class's name, enums by value, paths as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"kind": type(value).__name__} | {k: plain(getattr(value, k)) for k in asdict(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
