"""From what JSON or TOML has to frozen classes, strictly: an unknown key, a missing one and a value of
another type are errors with the place named and the nearest name offered."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NoReturn, TypeVar, cast, get_args, get_origin, get_type_hints

from apdm.errors import InputError, nearest

T = TypeVar("T")


def read_as(kind: type[T], data: object, where: str) -> T:
    """`data` as a `kind`: a dataclass, a tuple, a mapping, an optional, an enum or a scalar. `where` names
    the place in what is said about it. Raises `InputError`.

    A dataclass may hold `NULL`, a mapping from its fields' names to what JSON's null stands for; one that can
    `parse` text or a number is read from them, too.
    """
    return cast(T, _read(kind, data, where))


def read_json(kind: type[T], path: Path, fix: str) -> T:
    """The file as a `kind`. Raises `InputError`, with `fix` where it is missing or damaged."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", fix=fix) from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error})", fix=fix) from error
    return read_as(kind, data, path.name)


def read_toml(path: Path) -> dict[str, Any]:
    """What the file says. Raises `InputError` for one that cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"scenario '{path}' cannot be read ({error})", fix="give a TOML file") from error


def changed(settings: T, values: Mapping[str, object], where: str) -> T:
    """`settings` with some fields changed, nested ones in part; not those that mean nothing without each
    other (a budget and its range). Raises `InputError` as `read_as` does."""
    if not values:
        return settings
    if not is_dataclass(settings) or isinstance(settings, type):
        raise InputError(f"{where} has no settings", fix=f"leave out {', '.join(values)}")
    hints = get_type_hints(type(settings))
    known = tuple(field.name for field in fields(settings))
    read: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            refuse_name(name, known, where)
        now, place = getattr(settings, name), f"{where}.{name}"
        if is_dataclass(now) and not hasattr(now, "parse") and isinstance(value, Mapping):
            read[name] = changed(now, cast("Mapping[str, object]", value), place)
        else:
            read[name] = _read(hints[name], value, place)
    return replace(settings, **read)


def refuse_name(name: str, known: Iterable[str], where: str) -> NoReturn:
    """Raises `InputError` for a name that is none of `known`; the nearest one is offered."""
    raise InputError(f"{where} has an unknown '{name}'", fix=nearest(name, known))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _read(kind: Any, data: object, where: str) -> object:
    if hasattr(kind, "parse") and isinstance(data, str | int | float):
        try:
            return kind.parse(str(data))
        except InputError as error:
            raise InputError(f"{where}: {error.what}", fix=error.fix) from None
    if is_dataclass(kind):
        values = cast("dict[str, object]", _read(Mapping[str, object], data, where))
        null: Mapping[str, float] = getattr(kind, "NULL", {})
        values = {name: null.get(name) if value is None else value for name, value in values.items()}
        return _read_fields(cast(type, kind), values, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is UnionType:
        exact = [it for it in arguments if type(data) is it]
        return _read(NoneType if data is None else exact[0] if exact else arguments[0], data, where)
    if origin is tuple and isinstance(data, list):
        items = cast("list[object]", data)
        return tuple(_read(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(items))
    if origin is Mapping and isinstance(data, dict):
        entries = cast("dict[str, object]", data)
        return {key: _read(arguments[1], value, f"{where}.{key}") for key, value in entries.items()}
    return _read_scalar(kind, data, where)


def _read_fields(kind: type, values: Mapping[str, object], where: str) -> object:
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}
    for unknown in sorted(values.keys() - known.keys()):
        refuse_name(unknown, known, where)
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise InputError(f"{where} has no '{name}'", fix="add it, or make the file again")
    return kind(**{name: _read(hints[name], value, f"{where}.{name}") for name, value in values.items()})


def _read_scalar(kind: Any, data: object, where: str) -> object:
    if kind is object:
        return data
    if kind is float and type(data) is int:  # a whole number is written without its point by other tools
        return float(data)
    if isinstance(kind, type) and issubclass(kind, Enum) and data in [it.value for it in kind]:
        return kind(data)
    if type(data) is kind:
        return data
    name = getattr(kind, "__name__", str(kind))
    raise InputError(f"{where} is {json.dumps(data, default=str)[:40]}", fix=f"it must be a {name}")
