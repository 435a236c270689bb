"""Where a run's results leave the program: whole, or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any

CONFIG_FILE = "apdm.json"
PACKAGES = ("apdm", "torch", "diffusers", "transformers", "numpy")


def save_model(save: Callable[[Path], None], folder: Path, card: str, config: Mapping[str, Any]) -> None:
    """Writes what `save` writes, card and config into `folder`; a stop in between leaves no half model there.

    All is written beside and then moved, the index by which diffusers knows a model last.
    """
    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        save(beside)
        (beside / "README.md").write_text(card)
        write_config(config, beside)
        folder.mkdir(parents=True, exist_ok=True)
        for part in sorted(beside.iterdir(), key=lambda path: path.name == "model_index.json"):
            part.replace(folder / part.name)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


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
