"""Arguments: a frozen class per verb becomes flags, with underscores or dashes alike."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from apdm.benchmark.store import leaves, plain
from apdm.cloaks.budget import Budget
from apdm.errors import InputError, unknown

T = TypeVar("T")
RULES = ConstructorRegistry()


@RULES.primitive_rule
def _budget(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Budget] | None:
    """A budget is one word, and says of what range."""
    if info.type is not Budget:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="BUDGET",
        instance_from_str=lambda words: Budget.parse(words[0]),
        is_instance=lambda value: isinstance(value, Budget),
        str_from_instance=lambda budget: [str(budget)],
    )


def read(kind: type[T], verb: str, arguments: Sequence[str], example: str, default: T | None = None) -> T:
    """Parses `arguments` into a `kind`. `--help` prints the flags and ends with `example`; anything
    wrong becomes one `InputError`."""
    said = io.StringIO()
    arguments, default = _by_name(kind, arguments, default)
    try:
        with contextlib.redirect_stderr(said):
            found = _parsed(kind, verb, arguments, default)
    except SystemExit as stop:
        if stop.code in (0, None):
            print(f"\nFlags may stand in a TOML or YAML file: --config FILE\nExample: {example}")
            sys.exit(0)
        what, see = _one_line(said.getvalue()), f"see 'apdm {verb} --help'"
        if stray := re.search(r"Unrecognized options: (--[\w.-]+)", what):
            near = get_close_matches(stray[1], _flags(kind, verb, default), n=1)
            raise InputError(
                f"there is no flag {stray[1]}", fix=f"did you mean {near[0]}? {see}" if near else see
            ) from None
        raise InputError(what, fix=see) from None
    refuse_null(found)
    return found


def _parsed(kind: type[T], verb: str, arguments: Sequence[str], default: T | None) -> T:
    """What tyro makes of them; it ends the process after its help, and after its complaint in a box."""
    options: dict[str, Any] = {} if default is None else {"default": default}
    return tyro.cli(
        kind,
        args=list(arguments),
        prog=f"apdm {verb}",
        use_underscores=True,
        config=(tyro.conf.EnumChoicesFromValues,),
        registry=RULES,
        **options,
    )


def _flags(kind: type[T], verb: str, default: T | None) -> list[str]:
    """All that there are, as the help names them."""
    told = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(told):
        _parsed(kind, verb, ["--help"], default)
    return re.findall(r"(?<![\w'`-])--\w[\w.]*", told.getvalue())


def _by_name(kind: type[T], arguments: Sequence[str], default: T | None) -> tuple[list[str], T | None]:
    """What has no flag may be said as `--name=word`, as a file has it: then it is the default, for which
    what stands without a name counts instead."""
    plain_kind: Any = get_origin(kind) or kind  # of one such as Protect[APDM]
    places: dict[str, Any] = {
        name: get_args(hint)[0]
        for name, hint in get_type_hints(plain_kind, include_extras=True).items()
        if tyro.conf.Positional in get_args(hint)
    }
    named, rest = dict[str, Any](), list[str]()
    for word in arguments:
        name, _, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and value and places.get(name) in (str, Path):
            named[name] = places[name](value)
        else:
            rest.append(word)
    if not named:
        return rest, default
    if default is None:
        needed = [it.name for it in fields(plain_kind) if it.default is it.default_factory]  # it has neither
        default = kind(**dict.fromkeys(needed, tyro.MISSING))
    return rest, replace(cast("Any", default), **named)


def refuse_null(found: object) -> None:
    """Raises `InputError` where the word None, which says a file's null, was taken for a word like others."""
    for name, value in leaves(plain(found)).items():
        if "None" in (value if isinstance(value, list) else [value]):
            raise InputError(f"{name} cannot be null", fix="leave it out, or give a value")


def choice(arguments: Sequence[str], name: str, known: Collection[str], default: str) -> str:
    """The value of `--name`, needed before the other flags because they or their defaults hang on it.
    Raises `InputError`, with the nearest, for one that is not `known`."""
    value = default
    for place, argument in enumerate(arguments):
        flag, _, given = argument.partition("=")
        if flag == f"--{name}":
            value = given or (arguments[place + 1] if place + 1 < len(arguments) else "")
    if value not in known:
        raise unknown(name, value, known)
    return value


def _one_line(boxed: str) -> str:
    """tyro's boxed complaint without its frame, its heading and its pointer to the help."""
    words = re.sub(r"[─╭╮╰╯│]+|-{3,}", " ", boxed.partition("\n")[2] or boxed)  # dashes if not of UTF-8
    words = " ".join(words.split())
    return re.sub(r"(For full|Argument) helptext.*|Got errors:.*", "", words).strip()
