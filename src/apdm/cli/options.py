"""Flags that several verbs share, and what they stand for."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Protocol

import tyro

from apdm.backbones.base import Backbone
from apdm.backbones.load import load, locate
from apdm.benchmark.store import forget_parts, is_part
from apdm.errors import InputError
from apdm.ranks import first
from apdm.subject import Subject, Verdict, inspect

NOT_RECORDED = Path("not recorded")  # in what is published with a model: where its maker keeps things
SIDE_STEP = 8  # what every known family's step is a multiple of; a model's own is known once it is loaded
MISSING: Any = tyro.MISSING  # stands for a value that the user must give


@dataclass(frozen=True)
class SubjectOptions:
    """Whose photos, and what they are called."""

    subject: Annotated[Path, tyro.conf.arg(aliases=["--instance_data_dir"])]
    """Folder of photos; subfolders protect/, attack/, held_out/ are used as such."""
    class_noun: str
    """What the subject is: dog, person, ..."""
    identifier: str = "sks"
    """The rare word that stands for the subject [APDM, DreamBooth]."""
    instance_prompt: str | None = None
    """Instead of "a photo of IDENTIFIER CLASS_NOUN"."""
    class_prompt: str | None = None
    """Instead of "a photo of CLASS_NOUN"."""
    same_images: bool = False
    """The papers' protocol: protect, attack and compare with the same photos."""

    def read(self) -> Subject:
        """Looks at every photo; prints a line for each that is set aside or was changed. Raises `InputError`
        also for a class noun that is a path, which would be written into every prompt and published."""
        if Path(self.class_noun).name != self.class_noun and Path(self.class_noun).exists():
            raise InputError(
                f"the class noun {self.class_noun} is a path", fix="write what the subject is: dog"
            )
        subject = Subject.from_folder(
            self.subject,
            self.class_noun,
            self.identifier,
            instance_prompt=self.instance_prompt,
            class_prompt=self.class_prompt,
            same_images=self.same_images,
        )
        for verdict in subject.verdicts:
            if verdict.note and not verdict.sidecar:
                print(f"{verdict.path.name}: {'' if verdict.usable else 'set aside, '}{verdict.note}")
        return subject

    def anonymous(self) -> SubjectOptions:
        """The same without the folder: what is published with a model names no person."""
        return replace(self, subject=NOT_RECORDED)


def public_name(model: str) -> str:
    """What a published model says it came from: of a local folder or file its last name only."""
    place = Path(model)
    return place.resolve().name if place.exists() else model


ASKED = SubjectOptions(MISSING, MISSING)  # the default that asks for what has none


_held: dict[Path, int] = {}  # folders that this process has locked


def new_folder(path: Path, besides: Collection[str] = ()) -> Path:
    """`own_folder`, in which there is nothing, or nothing besides these names. Raises `InputError`."""
    own_folder(path)
    if first():
        check_new(path, besides)
        forget_parts(path)
    return path


def check_new(path: Path, besides: Collection[str] = ()) -> None:
    """Raises `InputError` where `new_folder` would for what is there; makes nothing."""
    check_folder(path)
    if path.is_dir() and any(thing.name not in besides and not is_part(thing) for thing in path.iterdir()):
        raise InputError(f"output folder '{path}' is not empty", fix="give a new one")


def own_folder(path: Path) -> Path:
    """`path`, made if missing, and this process's own until it ends. Raises `InputError` if it cannot be
    written as a folder or another process has it. Of several that share a job the first has it."""
    if not first():
        return path
    check_folder(path)
    path.mkdir(parents=True, exist_ok=True)
    _hold(path.resolve())
    return path


def check_folder(path: Path) -> None:
    """Raises `InputError` for a place that cannot be written as a folder."""
    there = _there(path)
    if not there.is_dir():
        what = "is a file" if path.exists() else f"lies in {there}, which is a file"
        raise InputError(f"output folder '{path}' {what}", fix="give a new one")
    if not os.access(there, os.W_OK):
        raise InputError(f"output folder '{path}' may not be written", fix="give another one")


def _there(path: Path) -> Path:
    """`path`, or the nearest folder above that is there."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def check_file(path: Path, called: str) -> None:
    """Raises `InputError` for a place that cannot be written as a file."""
    if path.is_dir():
        raise InputError(f"{called} '{path}' is a folder", fix="name a file")
    there = _there(path)
    if there != path and not there.is_dir():
        raise InputError(f"{called} '{path}' lies in {there}, which is a file", fix="name a file in a folder")
    if not os.access(there, os.W_OK):
        raise InputError(f"{called} '{path}' may not be written", fix="name another place")


def pictures_in(folder: Path) -> list[Verdict]:
    """Those of every picture directly in `folder`, sorted by name. Raises `InputError` if there is none."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", fix="give a folder of pictures")
    found = usable(path for path in sorted(folder.iterdir()) if path.is_file())
    if not found:
        raise InputError(
            f"{folder} holds no picture", fix="give a folder that holds some, such as 'apdm generate' writes"
        )
    return found


def usable(files: Iterable[Path]) -> list[Verdict]:
    """Those of the pictures among `files`; prints a line for each that is set aside."""
    verdicts = [inspect(path) for path in files]
    for verdict in verdicts:
        if not verdict.usable and not verdict.sidecar:
            print(f"{verdict.path}: set aside, {verdict.note}")
    return [verdict for verdict in verdicts if verdict.usable]


def _hold(folder: Path) -> None:
    """A lock leaves nothing behind and ends with the process, however that ends. Where the system locks no
    folders (Windows, some network drives) it goes without."""
    try:
        import fcntl
    except ImportError:
        return
    if folder in _held:
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise InputError(
            f"output folder '{folder}' is being written by another process", fix="give a new one"
        ) from error
    except OSError:
        os.close(handle)
    else:
        _held[folder] = handle


class Job(Protocol):
    """Arguments of a verb that makes one model from another and a subject."""

    @property
    def model(self) -> str: ...
    @property
    def subject(self) -> SubjectOptions: ...
    @property
    def output_dir(self) -> Path: ...
    @property
    def resolution(self) -> int | None: ...
    @property
    def device(self) -> str: ...


def side(resolution: int | None, model: Backbone, *others: Backbone) -> int:
    """Pixels a side that photos and class images are brought to. Raises `InputError` for a side that one of
    the models does not take, before anything is drawn."""
    size = model.resolution if resolution is None else resolution
    for taking in (model, *others):
        if size % taking.step:
            raise InputError(
                f"resolution is {size}", fix=f"give a multiple of {taking.step} for '{taking.name}'"
            )
    return size


def check_resolution(resolution: int | None) -> None:
    """Raises `InputError` for a side that no model of the known families takes."""
    if resolution is not None and (resolution < SIDE_STEP or resolution % SIDE_STEP):
        raise InputError(
            f"resolution is {resolution}", fix=f"give a multiple of {SIDE_STEP}, {SIDE_STEP} or more"
        )


def opened(job: Job) -> tuple[Backbone, Subject, Path]:
    """Model, subject and output folder; all that can be wrong with the input is found before the model
    is loaded. Raises `InputError`."""
    subject = looked_at(job)
    folder = new_folder(job.output_dir)
    return load(job.model, job.device), subject, folder


def looked_at(job: Job) -> Subject:
    """The subject, once the model is known to be there. Raises `InputError`."""
    check_resolution(job.resolution)
    locate(job.model)
    return job.subject.read()
