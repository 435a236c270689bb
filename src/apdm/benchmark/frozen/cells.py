"""Results that are kept as they are made, so that a long measurement can be stopped and shared."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save_file as save_tensors
from torch import Tensor

from apdm.benchmark.store import save_file, save_text
from apdm.errors import InputError, one_line

Cell = dict[str, Tensor]
ABOUT = "about.json"


class Cells:
    """Named results in `folder`, a safetensors file each. What is there is not made again.

    `about` says what all of them depend on, and the first one that is made brings it along. Raises
    `InputError` if the folder's results are about something else.
    """

    def __init__(self, folder: Path, about: Mapping[str, object]) -> None:
        self.folder = folder
        self._said = json.dumps(about, indent=2, sort_keys=True) + "\n"
        self._is_about()

    def get(self, name: str, make: Callable[[], Cell]) -> Cell:
        """The result called `name` ("attack/protected/dog-450000/0"), made by `make` if it is not there, and
        waited for while another process makes it. A stop leaves no half result; a full disk raises
        `InputError`."""
        place = self._place(name)
        if not place.exists():
            if not self._is_about():
                save_text(self._said, self.folder / ABOUT)
            with self.lock(name):
                if not place.exists():
                    made = {key: value.contiguous() for key, value in make().items()}
                    save_file(partial(save_tensors, made), place)
        return _whole(place)

    def _is_about(self) -> bool:
        """Whether the folder says already what its results are about."""
        place = self.folder / ABOUT
        if place.exists() and place.read_text(encoding="utf-8") != self._said:
            raise InputError(f"'{self.folder}' holds results of other settings", fix="give another folder")
        return place.exists()

    def busy(self, name: str) -> bool:
        """Whether another process is making the result called `name`."""
        try:
            with self.lock(name).acquire(blocking=False):
                return False
        except Timeout:
            return True

    def read(self, name: str) -> Cell:
        """The result called `name`. Raises `InputError` if it has not been made, or is damaged."""
        place = self._place(name)
        if not place.exists():
            raise InputError(f"'{place}' has not been made", fix="run the scenario again")
        return _whole(place)

    def names(self) -> list[str]:
        """Of all that have been made, in alphabetical order."""
        places = (it.relative_to(self.folder).with_suffix("") for it in self.folder.rglob("*.safetensors"))
        return sorted(place.as_posix() for place in places)

    def __contains__(self, name: str) -> bool:
        return self._place(name).exists()

    def lock(self, name: str) -> FileLock:
        """It ends with the process that holds it, however that ends."""
        place = self.folder / "locks" / name.replace("/", " ")
        place.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(place)

    def _place(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


def _whole(place: Path) -> Cell:
    """What the file holds. Raises `InputError` for a damaged one: a copy that broke off, say."""
    try:
        return load_file(place)
    except SafetensorError as error:
        what = f"'{place}' is damaged ({one_line(error)})"
        raise InputError(what, fix="copy it again, or remove it and run the scenario again") from error
