"""`apdm VERB ...`: finds the verb's file, reads its arguments, turns what is wrong into one line."""

from __future__ import annotations

import errno
import importlib
import logging
import os
import select
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.metadata import version
from typing import NoReturn, TextIO

from apdm.errors import InputError, unknown

VERBS = {
    "demo": "protect the Toybox against two subjects, attack, measure, report",
    "protect": "make a model resist being personalised on a subject",
    "estimate": "say what a protection will take, before anything is loaded",
    "personalize": "attack a model: teach it a subject",
    "cloak": "change a subject's photos a little, so that a model learns them badly",
    "purify": "answer a cloak: clean photos before an attack learns from them",
    "generate": "make pictures from prompts",
    "evaluate": "measure how much pictures resemble a subject, or what their prompts say",
    "datasets": "check a folder of published photos and divide it into sets",
    "bench": "make the cells of a scenario: a table of the paper, or the frozen evaluation",
    "table": "write the tables of a bench's records",
    "export": "write a model in another form, such as one file for ComfyUI and A1111",
    "report": "write a run's page and contact sheet again",
    "toybox": "render toys, or sample captioned scenes",
}
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # such errors name no file
HELP = (
    "usage: apdm VERB [options]\n\n"
    "Makes a text-to-image model resist being personalised on a chosen subject, and measures it.\n\n"
    + "".join(f"  {verb:<12} {line}\n" for verb, line in VERBS.items())
    + "\nFlags may stand in a TOML or YAML file: apdm VERB --config FILE.\nExample: apdm protect --help"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exits with 0, with 2 on bad input, with 130 on Ctrl-C, and with 141, as of a program that
    SIGPIPE ends, where nobody reads on what it prints, as `head` does."""
    verb, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    _quiet_libraries()
    try:
        try:
            _run(verb, rest)
        finally:
            sys.stdout.flush()  # while a closed pipe can still be met
    except InputError as error:
        _end(verb, str(error), 2)
    except BrokenPipeError as error:
        if not _unread(sys.stdout):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error.__context__, InputError):  # what was printed before it went unread
            _end(verb, str(error.__context__), 2)
        sys.exit(141)
    except OSError as error:
        if error.filename is None and error.errno not in FULL:
            raise
        what = f"'{error.filename}'" if error.filename else "the disk"
        _end(verb, f"{what} cannot be used: {error.strerror}", 2)
    except KeyboardInterrupt:
        _end(verb, "stopped", 130)


def _end(verb: str, said: str, code: int) -> NoReturn:
    sys.stderr.write(f"apdm {verb}: {said}\n")
    sys.exit(code)


def _run(verb: str, arguments: Sequence[str]) -> None:
    if verb in ("-h", "--help"):
        print(HELP)
        return
    if verb == "--version":
        print(f"apdm {version('apdm')}")
        return
    if verb not in VERBS:
        raise unknown("verb", verb, VERBS)
    run = importlib.import_module(f"apdm.cli.{verb}").main
    if any(word.startswith("--config") for word in arguments):
        from apdm.cli.config import with_config

        arguments = with_config(arguments)
    if "WORLD_SIZE" not in os.environ:
        return run(arguments)
    from apdm.cli.several import launched, one_of_several  # loads torch

    with one_of_several(verb) if launched() > 1 else nullcontext():
        run(arguments)


def _unread(stream: TextIO) -> bool:
    """Whether it is a pipe whose other end is closed."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)  # which still hears of errors
    except (AttributeError, OSError):  # Windows has no poll, and a notebook's output no number
        return False
    return bool(poll.poll(0))


def _quiet_libraries() -> None:
    """Their warnings are about their own settings; ours are errors or said in the log."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.getLogger("torch").setLevel(logging.ERROR)
