"""`--config FILE`: flags from a TOML or YAML file, under the names that they have on the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from apdm.benchmark.store import leaves
from apdm.errors import InputError, one_line

FLAG = "--config"
READERS: dict[str, Callable[[str], Any]] = {
    ".toml": tomllib.loads,
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
}


def with_config(arguments: Sequence[str]) -> list[str]:
    """`arguments` with the flags of the file after `--config` before all flags that are typed, which count
    instead, and after what stands first without one, which the last flag would take for its own. Raises
    `InputError` for a file that cannot be read or is no table of flags."""
    typed = [word for argument in arguments for word in _parted(argument)]
    if FLAG not in typed:
        return list(arguments)
    place = typed.index(FLAG)
    if place + 1 == len(typed):
        raise InputError("--config names no file", fix="give a .toml or .yaml file")
    settings, rest = settings_of(Path(typed[place + 1])), [*typed[:place], *typed[place + 2 :]]
    leading = list(takewhile(lambda word: not word.startswith("-"), rest))
    flags = [word for name, value in settings.items() for word in flag(name, value)]
    return [*leading, *flags, *rest[len(leading) :]]


def _parted(argument: str) -> list[str]:
    """`--config=FILE` as two words, all else as it is."""
    return argument.split("=", 1) if argument.startswith(f"{FLAG}=") else [argument]


def settings_of(file: Path) -> dict[str, object]:
    """The settings in `file`, those in tables by their names joined with dots."""
    if file.suffix not in READERS:
        raise InputError(f"config '{file}' is no {', '.join(READERS)} file", fix="give one that is")
    try:
        settings = READERS[file.suffix](file.read_text(encoding="utf-8-sig"))
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"config '{file}' cannot be read ({one_line(error)})", fix="repair it") from error
    if not isinstance(settings, Mapping):
        raise InputError(f"config '{file}' is no table of flags", fix="write lines such as seed: 1")
    return leaves(settings)


def flag(name: str, value: object) -> Iterator[str]:
    """The words that say `value` on the command line."""
    if isinstance(value, bool):
        table, _, own = name.rpartition(".")
        yield f"--{table}{'.' if table else ''}{'' if value else 'no_'}{own}"
    elif isinstance(value, list) and value and all(isinstance(it, list) for it in value):
        for words in value:  # of what may be given several times
            yield from flag(name, words)
    elif isinstance(value, list):
        yield f"--{name}"
        yield from map(str, value)
    else:
        yield f"--{name}={value}"
