"""`accelerate launch -m apdm VERB ...`: one job in several processes, of which the first speaks."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from apdm.benchmark.store import leaves, plain
from apdm.errors import InputError
from apdm.ranks import first, joined, launched

SHARED = ("protect", "personalize")  # verbs whose work is divided
GRACE = 10  # seconds that the first process has to say what is wrong before another one does [our choice]


@contextmanager
def one_of_several(verb: str) -> Iterator[None]:
    """This process is one of those that share `verb`'s work, and silent unless it is the first. Raises
    `InputError` for a verb whose work is not shared."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(sys.stdout if first() else nowhere):
        try:
            if verb not in SHARED:
                what = f"{verb} does not share its work, and {launched()} processes were started"
                raise InputError(what, fix=f"start one, without a launcher; {' and '.join(SHARED)} share")
            with joined():
                yield
        except InputError:
            if not first():
                time.sleep(GRACE)  # the first finds the same, says it, and its end ends this process too
            raise
        except KeyboardInterrupt:
            if first():
                raise
            sys.exit(130)


def refuse_idle(settings: object) -> None:
    """Raises `InputError` where a step has fewer samples than there are processes: two a place in the batch,
    of the subject and of the class."""
    for name, size in leaves(plain(settings)).items():
        if name.endswith("train_batch_size") and isinstance(size, int) and 2 * size < launched():
            what = f"{name} is {size}, too few for {launched()} processes"
            raise InputError(what, fix=f"give {-(-launched() // 2)} or more, or start fewer")
