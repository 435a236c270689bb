"""What `apdm evaluate` measured, as it is shown and written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from apdm.benchmark.record import Figure, as_json
from apdm.errors import InputError

Measured = dict[str, dict[str, Figure]]  # by measure and by set of pictures, as a record calls them

CLASS_FLAGS = {"class_unprotected": "class_images", "class_protected": "class_images_protected"}
FLAGS = {  # what a record calls a set of pictures, and the flag that names its folder
    "attacked_protected": "generated",
    "attacked_unprotected": "control",
    **CLASS_FLAGS,
}
NAMES = {**FLAGS, "photos": "own photos"}


def named(measured: Measured) -> dict[str, Figure]:
    """Each figure by its measure and the flag of the pictures that it is of."""
    return {
        f"{measure} of {NAMES[of]}": figure
        for measure, sets in measured.items()
        for of, figure in sets.items()
    }


def check_network(source: str, flag: str) -> None:
    """Raises `InputError` for what is neither a network's folder nor a hub id; loads nothing."""
    if Path(source).is_dir():
        if not (Path(source) / "config.json").is_file():
            raise InputError(f"--{flag} '{source}' has no config.json", fix="give a network's folder")
    elif source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise InputError(f"--{flag} '{source}' does not exist", fix="give a network's folder or its hub id")


def show(figures: Mapping[str, Figure], title: str) -> None:
    table = Table("figure", "value", "95 % interval", "n", title=title)
    for name, it in figures.items():
        said = f"{it.value:.3f}", f"{it.low:.3f} to {it.high:.3f}"
        table.add_row(name, *(("undefined", "") if math.isnan(it.value) else said), str(it.n))
    Console(markup=False, emoji=False).print(table)  # a figure is named by its folder, which may be [/x]


def write(figures: Mapping[str, Figure], path: Path, **about: str) -> None:
    """As JSON, with what the whole file is `about` before the figures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = about | {name: as_json(value) for name, value in figures.items()}
    path.write_text(json.dumps(record, indent=2) + "\n")
