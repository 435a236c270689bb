"""`accelerate launch -m apdm VERB ...`: one job in several processes, of which the first speaks."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import is_dataclass
from pathlib import Path

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


def refuse_idle(settings: object, prior: bool = True, within: str = "") -> None:
    """Raises `InputError` where a step has fewer samples than there are processes: one of the subject for
    each place in the batch and, where the loss has class images, one of the class. `prior` says whether
    there are any, `within` whose part the settings are."""
    prior = prior and getattr(settings, "num_class_images", 1) > 0
    samples = 2 if prior and getattr(settings, "uses_class_images", True) else 1
    for name, value in vars(settings).items():
        if is_dataclass(value):
            refuse_idle(value, prior, f"{within}{name}.")
        elif name == "train_batch_size" and samples * value < launched():
            what = f"{within}{name} is {value}, too few for {launched()} processes"
            raise InputError(what, fix=f"give {-(-launched() // samples)} or more, or start fewer")
