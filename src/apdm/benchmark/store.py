"""Where a run's results leave the program: whole, or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from apdm.errors import InputError, one_line

CONFIG_FILE = "apdm.json"
INDEX = "model_index.json"
PACKAGES = ("apdm", "torch", "diffusers", "transformers", "numpy")


def save_model(save: Callable[[Path], None], folder: Path, card: str, config: Mapping[str, Any]) -> None:
    """Writes what `save` writes, card and config into `folder`, the index by which diffusers knows a model
    last; a stop or a full disk leaves no half model there. Raises `InputError`."""
    with beside(folder, _part(folder / "model")) as part:  # in it: it may be a disk of its own
        folder.mkdir(parents=True, exist_ok=True)
        save(part)
        (part / "README.md").write_text(card, encoding="utf-8")
        write_config(config, part)
        discard(folder / INDEX)
        for piece in sorted(part.iterdir(), key=lambda path: (path.name == INDEX, path.name)):
            discard(folder / piece.name)  # of a run that was killed right here
            piece.replace(folder / piece.name)


def save_file(save: Callable[[Path], None], file: Path) -> None:
    """Writes the one file that `save` writes, whole or not at all. Raises `InputError`."""
    with beside(file) as part:
        file.parent.mkdir(parents=True, exist_ok=True)
        save(part)
        part.replace(file)


def save_text(text: str, file: Path) -> None:
    """Writes the file, whole or not at all. Raises `InputError`."""

    def save(part: Path) -> None:
        part.write_text(text, encoding="utf-8")

    save_file(save, file)


@contextmanager
def beside(place: Path, part: Path | None = None) -> Iterator[Path]:
    """Where to write before it is moved to `place`: `part`, or next to it. Nothing is left of it, however it
    ends."""
    part = part or _part(place)
    try:
        _remove(part)
        yield part
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"'{place}' could not be written ({one_line(error)})", fix="make room, or take another place"
        ) from error
    finally:
        _remove(part)


def discard(place: Path) -> None:
    """Removes a file or a folder so that a stop leaves it whole or not there; of a link what it leads to
    stays."""
    if os.path.lexists(place):
        part = _part(place)
        _remove(part)
        place.replace(part)
        _remove(part)


def forget_parts(folder: Path) -> None:
    """Removes what processes that were killed have left in `folder`, which is this process's own."""
    for part in folder.glob(".*.part"):
        if is_part(part):
            _remove(part)


def is_part(place: Path) -> bool:
    """Whether it is named as what is written before it is moved to its place."""
    return re.fullmatch(r"\..+\.\d+\.part", place.name) is not None


def _part(place: Path) -> Path:
    return place.with_name(f".{place.name}.{os.getpid()}.part")


def _remove(part: Path) -> None:
    if part.is_dir() and not part.is_symlink():
        shutil.rmtree(part, ignore_errors=True)
    else:
        with suppress(OSError):
            part.unlink()


def drop_half_line(log: Path) -> None:
    """Cuts off a last line that a kill has left without its end. Other lines are not written again: another
    process may be adding to them."""
    written = log.read_bytes() if log.exists() else b""
    whole = written.rfind(b"\n") + 1
    if whole < len(written):
        os.truncate(log, whole)


def write_config(config: Mapping[str, Any], folder: Path) -> None:
    """The resolved settings, beside what was made with them."""
    save_text(json.dumps(config, indent=2) + "\n", folder / CONFIG_FILE)


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


def without_kinds(said: Any) -> Any:
    """What `plain` gave, without the classes' names."""
    if isinstance(said, Mapping):
        return {name: without_kinds(value) for name, value in said.items() if name != "kind"}
    return [without_kinds(item) for item in said] if isinstance(said, list) else said


def leaves(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested settings by their names joined with dots."""
    found: dict[str, object] = {}
    for name, value in settings.items():
        named = f"{prefix}{name}"  # YAML has keys that are no words
        found |= leaves(value, f"{named}.") if isinstance(value, Mapping) else {named: value}
    return found
