"""What `apdm evaluate` says of an attack's pictures: likeness to the subject, defects, faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from apdm.benchmark.measure import BRISQUE_DIRECTIONS, brisque_figure, figure, per_run, real, scored
from apdm.benchmark.record import Figure
from apdm.cli.figures import Measured
from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics.base import FeatureExtractor
from apdm.metrics.face import Face, FaceBackend, fdfr_score, ism_score, largest_faces
from apdm.metrics.statistics import Cell
from apdm.subject import Subject
from apdm.types import Pixels
from apdm.watch import Watch

KINDS = {  # what the statistics call a set, and the record
    "protected": "attacked_protected",
    "unprotected": "attacked_unprotected",
    "class": "class_unprotected",
    "real": "photos",
}
WEIGHED = ("uniface", "insightface")  # face backends whose networks do not come with their package
FDFR_DIRECTIONS = {
    "attacked_protected": Direction.HIGHER_PROTECTS,
    "class_protected": Direction.LOWER_PRESERVES,  # a model that draws no faces any more is damaged
}


def cells_of(
    runs: Mapping[str, Sequence[Pixels]],
    subject: Subject,
    eye: FeatureExtractor,
    size: int,
    watch: Watch,
    task: str,
) -> dict[str, Cell]:
    """Of pictures, run by run, named as the statistics want them; "real" are the subject's own photos."""
    sets = {kind: runs[name] for kind, name in KINDS.items() if name in runs}
    watch(task, 0, len(sets) + 1, {})
    cells = {"real": real(eye, subject, size)}
    for done, (kind, some) in enumerate(sets.items(), start=1):
        watch(task, done, len(sets) + 1, {})
        cells[kind] = per_run(eye, some, subject, size)
    watch(task, len(sets) + 1, len(sets) + 1, {})
    return cells


def likeness(cells: Mapping[str, Cell], eye: FeatureExtractor, seed: int) -> dict[str, Figure]:
    """The mean similarity to the subject's held-out photos, of each set."""
    return {
        name: figure(
            lambda means: means["it"],
            {"it": cells[kind]},
            seed,
            Direction.LOWER_PROTECTS if kind == "protected" else Direction.REFERENCE,
            eye,
        )
        for kind, name in KINDS.items()
        if kind in cells
    }


def defects(pictures: Mapping[str, Pixels], seed: int, watch: Watch) -> dict[str, Figure]:
    """BRISQUE of each set."""
    figures = {}
    for done, (name, shown) in enumerate(pictures.items()):
        watch("BRISQUE", done, len(pictures), {})
        figures[name] = brisque_figure(shown, seed, BRISQUE_DIRECTIONS[name])
    watch("BRISQUE", len(pictures), len(pictures), {})
    return figures


def check_weights(name: str | None, weights: Path | None) -> None:
    """Raises `InputError` for `weights` of a face backend that takes none, or that are no folder."""
    if weights is None:
        return
    if name not in WEIGHED:
        raise InputError(f"--face_weights are of --faces {' or '.join(WEIGHED)}", fix="leave them out")
    if not weights.is_dir():
        raise InputError(
            f"--face_weights '{weights}' is not a folder", fix="give the folder of the ONNX files"
        )


def face_backend(name: str, weights: Path | None = None) -> FaceBackend:
    """`dlib` (its CNN), `dlib-hog` (faster, with more faces that are none), or one of `WEIGHED`, with the
    networks in the folder `weights`. Raises `InputError`."""
    if name == "uniface":
        from apdm.metrics.uniface_faces import UnifaceFaces

        return UnifaceFaces(weights)
    if name == "insightface":
        from apdm.metrics.insightface_faces import InsightFaces

        return InsightFaces(weights)
    from apdm.metrics.dlib_faces import DlibFaces

    return DlibFaces(cnn=name == "dlib")


def known_faces(backend: FaceBackend, photos: Pixels) -> list[Face | None]:
    """The largest of each photo. Raises `InputError` if none shows any."""
    known = largest_faces(backend, photos)
    if not any(known):
        raise InputError("no photo to compare with shows a face", fix="give others, or no --faces")
    return known


def faces(
    pictures: Mapping[str, Pixels],
    known: Sequence[Face | None],
    backend: FaceBackend,
    seed: int,
    watch: Watch,
) -> Measured:
    """FDFR and ISM of each set, ISM against `known`."""
    found: Measured = {"FDFR": {}, "ISM": {}}
    for done, (name, some) in enumerate(pictures.items()):
        watch("faces", done, len(pictures), {})
        seen = largest_faces(backend, some)
        direction = Direction.LOWER_PROTECTS if name == "attacked_protected" else Direction.REFERENCE
        missed, alike = fdfr_score(seen, backend, seed=seed), ism_score(seen, known, backend, seed=seed)
        missing = FDFR_DIRECTIONS.get(name, Direction.REFERENCE)
        found["FDFR"][name] = scored(replace(missed, direction=missing))
        found["ISM"][name] = scored(replace(alike, direction=direction))
    watch("faces", len(pictures), len(pictures), {})
    return found
