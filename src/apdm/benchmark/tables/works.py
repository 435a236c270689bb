"""What cells share, each piece made once: content-addressed, atomic, and by one process at a time.

A work's digest is that of all that it depends on; its folder is written beside and renamed, so that a stop
leaves no half work. Whoever makes one holds its lock, which ends with the process, however that ends: on one
machine or on many that see the same folder.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from apdm.benchmark.provenance import forget_peak, peak_memory, provenance
from apdm.benchmark.reading import read_json
from apdm.benchmark.tables.outcome import Made, write
from apdm.errors import InputError

MADE = "made.json"

Make = Callable[[Path], None]  # writes a work into a folder
About = Mapping[str, object]


class Busy(Exception):
    """Another process is making it."""


@dataclass(frozen=True)
class Work:
    """A piece of work by what it depends on; `about` is plain."""

    kind: str
    method: str
    about: About

    @property
    def title(self) -> str:
        """What costs are counted by: "cloak advdm"."""
        return f"{self.kind} {self.method}".strip()

    @cached_property
    def digest(self) -> str:
        return digest(self.kind, self.about)


def digest(*about: object) -> str:
    """Twenty hexadecimal digits for what JSON can say."""
    text = json.dumps(about, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


class Works:
    """The works below `folder`, made on `device`."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.folder, self.device = folder, device
        self.failed: dict[str, InputError] = {}  # what could not be made, by digest

    def place(self, work: Work) -> Path:
        return self.folder / "works" / work.kind / work.digest

    def there(self, work: Work) -> bool:
        return self.place(work).is_dir()

    def made(self, work: Work) -> Made:
        """What was noted of a work that is there. Raises `InputError` if the note is damaged."""
        return read_json(Made, self.place(work) / MADE, fix="delete its folder and run the scenario again")

    def get(self, work: Work, prepare: Callable[[], Make]) -> Path:
        """The work's folder. If it is not there, `prepare` gathers what it needs, works of their own, and
        gives the function that makes it. Raises `Busy` while another process makes it, and again what was
        raised when it was tried before."""
        place = self.place(work)
        if work.digest in self.failed:
            raise self.failed[work.digest]
        if not place.is_dir():
            with self.lock(work.digest):
                if not place.is_dir():
                    self._make(work, prepare(), place)
        return place

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Holds the lock called `name`. Raises `Busy` if somebody else holds it."""
        (self.folder / "locks").mkdir(parents=True, exist_ok=True)
        held = FileLock(self.folder / "locks" / name)
        try:
            held.acquire(blocking=False)
        except Timeout:
            raise Busy(name) from None
        try:
            yield
        finally:
            held.release()

    def _make(self, work: Work, make: Make, place: Path) -> None:
        beside = place.with_name(f"{place.name}.part")
        shutil.rmtree(beside, ignore_errors=True)  # of a process that was killed; the lock is ours
        beside.mkdir(parents=True)
        try:
            forget_peak(self.device)
            started = time.monotonic()
            make(beside)
            seconds, peak = time.monotonic() - started, peak_memory(self.device)
            by = provenance(self.device)
            write(
                Made(work.kind, work.method, work.digest, work.about, round(seconds, 2), peak, by),
                beside / MADE,
            )
            beside.replace(place)
        except torch.OutOfMemoryError as error:
            self.failed[work.digest] = InputError(f"{work.title}: out of memory", fix="lower its batch")
            raise self.failed[work.digest] from error
        except InputError as error:
            self.failed[work.digest] = error
            raise
        finally:
            shutil.rmtree(beside, ignore_errors=True)
