"""Makes cells. What they share, the clean attack of a control above all, is made once and kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from apdm.backbones.base import Backbone
from apdm.backbones.load import load as load_model
from apdm.benchmark.provenance import provenance
from apdm.benchmark.tables.cell import Cell, subject_work
from apdm.benchmark.tables.exam import Paper
from apdm.benchmark.tables.examination import Examination
from apdm.benchmark.tables.examiners import Examiners, examiners
from apdm.benchmark.tables.kept import AnyCell, Kept
from apdm.benchmark.tables.methods import METHODS, Methods
from apdm.benchmark.tables.outcome import (
    EVALUATION,
    TO_OWNER,
    Measured,
    Outcome,
    read_outcome,
    record_path,
    write,
)
from apdm.benchmark.tables.subjects import Source
from apdm.benchmark.tables.works import Busy, Make, Work, Works, digest
from apdm.cloaks.base import CloakMaterial
from apdm.errors import InputError
from apdm.metrics import brisque
from apdm.metrics.base import FeatureExtractor
from apdm.metrics.judges import judge
from apdm.metrics.similarity import per_image_similarity
from apdm.personalizers.base import Material, class_images, personalize
from apdm.pixels import load, save_png
from apdm.prompts import class_prompt
from apdm.protectors.material import paired_positives, protection_material
from apdm.seeding import derive
from apdm.subject import Subject
from apdm.types import Pixels
from apdm.watch import Watch, silent, titled

STEM, WEIGHTS = "picture", "weights.safetensors"
PATIENCE = 1.0  # seconds between two looks, where all that is left is being made by others


@dataclass(frozen=True)
class Tools:
    """What a runner is given from outside: methods by name, models and judges by name."""

    methods: Methods = METHODS
    load: Callable[[str, str], Backbone] = load_model
    judge: Callable[[str], FeatureExtractor] = judge
    examiners: Callable[[Paper, torch.device], Examiners] = examiners


class Runner:
    """Makes cells in `works.folder` on `device`."""

    def __init__(self, folder: Path, device: str, tools: Tools, watch: Watch = silent) -> None:
        self.works = Works(folder, torch.device(device))
        self.tools, self.watch, self.device = tools, watch, device
        self._models: dict[str, Backbone] = {}
        self._judges: dict[str, FeatureExtractor] = {}
        self._examiners: dict[str, Examiners] = {}

    def run(self, cells: Sequence[AnyCell]) -> dict[str, InputError]:
        """Makes every cell that is not there, those in other processes' hands last. A cell that cannot be
        made does not stop the others: what was wrong, by the cells' digests, is given back."""
        waiting, wrong = list(cells), dict[str, InputError]()
        while waiting:
            busy: list[AnyCell] = []
            for cell in waiting:
                there = sum(record_path(self.works.folder, it.digest).exists() for it in cells)
                self.watch("cells", there, len(cells), {})
                try:
                    self.finish(cell)
                except Busy:
                    busy.append(cell)
                except InputError as error:
                    wrong[cell.digest] = error
            if len(busy) == len(waiting):
                time.sleep(PATIENCE)
            waiting = busy
        self.watch("cells", len(cells) - len(wrong), len(cells), {})
        return wrong

    def finish(self, cell: AnyCell) -> Outcome:
        """The cell's record, made if it is not there. Raises `Busy` while another process makes a part."""
        if found := read_outcome(self.works.folder, cell.digest):
            return found
        with self.works.lock(f"cell-{cell.digest}"):
            outcome = self.examined(cell) if isinstance(cell, Kept) else self.measured(cell)
            write(outcome, record_path(self.works.folder, cell.digest))
        return outcome

    def measured(self, cell: Cell) -> Outcome:
        """What is to be told of an attack."""
        control, pictures, photos = self.attacked(cell.control), self.attacked(cell), self.own_photos(cell)
        started = time.monotonic()
        return self._outcome(
            cell,
            started,
            measured=self._measure(cell, pictures),
            control=self._measure(cell, control),
            pictures=self._named(pictures),
            control_pictures=self._named(control),
            photos=self._named(photos),
        )

    def examined(self, kept: Kept) -> Outcome:
        """What is to be told of a model in an exam."""
        judges, pristine = self.judges(kept.paper), self.pristine(kept.of)
        taken = Examination(kept, self.model(kept.of), pristine, self.works, judges, self.watch)
        pictures = self._named(taken.draw())
        started = time.monotonic()
        return self._outcome(kept, started, measured=taken.marks(), pictures=pictures)

    def _outcome(
        self,
        cell: AnyCell,
        started: float,
        measured: Mapping[str, Measured],
        pictures: str,
        control: Mapping[str, Measured] | None = None,
        control_pictures: str = "",
        photos: str = "",
    ) -> Outcome:
        made = [self.works.made(work) for work in cell.works]
        seconds = time.monotonic() - started + sum(it.seconds for it in made)
        peaks = [it.peak_memory for it in made if it.peak_memory is not None]
        here = provenance(self.works.device)
        return Outcome(
            evaluation=EVALUATION,
            digest=cell.digest,
            cell=cell.config,
            measured=measured,
            control=control or {},
            works={work.digest: work.title for work in cell.works},
            wall_time=round(seconds, 2),
            peak_memory=max(peaks, default=None),
            pictures=pictures,
            control_pictures=control_pictures,
            photos=photos,
            provenance=tuple({str(it): it for it in (here, *(work.provenance for work in made))}.values()),
        )

    def _named(self, folder: Path) -> str:
        return folder.relative_to(self.works.folder).as_posix()

    def _measure(self, cell: Cell, folder: Path) -> dict[str, Measured]:
        eye, size = self.eye(cell.judge), self.pristine(cell).resolution
        pictures = load(_files(folder), size)

        def similarity(who: Source) -> Measured:
            held_out = self.subject(who).pixels("held_out", size)
            alike = per_image_similarity(eye, pictures, held_out).tolist()
            return Measured(tuple(alike), eye.name, eye.fingerprint)

        defects = [value if value == value else None for value in brisque.brisque(pictures).tolist()]
        found = {
            "similarity": similarity(cell.subject),
            "brisque": Measured(tuple(defects), brisque.EXTRACTOR, brisque.fingerprint()),
        }
        if cell.owner:
            found[TO_OWNER] = similarity(cell.owner)
        return found

    # Works: what each needs, and how it is made.

    def attacked(self, cell: Cell) -> Path:
        """Pictures by the attacked model."""

        def prepare() -> Make:
            model, personalizer = self.model(cell), cell.personalizer
            seeds = [derive(cell.setup_seed, "evaluation", number) for number in range(len(cell.prompts))]

            def draw(drawn_by: Backbone, folder: Path) -> None:
                told = self._told("pictures", cell)
                save_png(drawn_by.generate(cell.prompts, seeds, cell.sampling, told), folder, STEM)

            if personalizer is None:
                return lambda folder: draw(model, folder)
            photos = load(self.trained_on(cell), model.resolution)
            prior = None
            if cell.prior:
                prior = self.class_pictures(cell, model, cell.protected, cell.class_prompt)

            def make(folder: Path) -> None:
                of_class = None if prior is None else model.encode(prior, cell.class_prompt)
                material = Material(model.encode(photos, cell.instance_prompt), of_class)
                told = self._told(personalizer.name, cell)
                draw(personalize(model, personalizer.settings, material, cell.seed, told), folder)

            return make

        return self.works.get(cell.attack, prepare)

    def trained_on(self, cell: Cell) -> list[Path]:
        """The photos that the attacker trains on, as files in order."""
        purified, purifier = cell.purified, cell.purifier
        if purified is None or purifier is None:
            return self.found(cell)

        def prepare() -> Make:
            photos = load(self.found(cell), self.pristine(cell).resolution)
            backbone, told = self.pristine(cell), self._told(purifier.name, cell)
            return lambda folder: _save(purifier.settings(photos, cell.setup_seed, backbone, told), folder)

        return _files(self.works.get(purified, prepare))

    def found(self, cell: Cell) -> list[Path]:
        """The photos as the attacker finds them: the first `clean` as they were, the rest cloaked."""
        own = _files(self.own_photos(cell))
        work, cloak = cell.cloaked, cell.cloak
        if work is None or cloak is None:
            return own

        def prepare() -> Make:
            backbone, who = self.pristine(cell), self.subject(cell.subject)
            learns = cloak.settings.learns
            prior = self.class_pictures(cell, backbone, None, who.class_prompt) if learns else None
            photos = load(own, backbone.resolution)
            clean = who.pixels(cell.other_photos, backbone.resolution)
            material = CloakMaterial(photos, clean, prior, who.instance_prompt, who.class_prompt)
            told = self._told(cloak.name, cell)
            return lambda folder: _save(cloak.settings(backbone, material, cell.setup_seed, told), folder)

        cloaked = _files(self.works.get(work, prepare))
        return own[: cell.clean] + cloaked[cell.clean :]

    def own_photos(self, cell: Cell) -> Path:
        def prepare() -> Make:
            size = self.pristine(cell).resolution
            photos = self.subject(cell.subject).pixels(cell.photos, size)[: cell.count]
            return lambda folder: _save(photos, folder)

        return self.works.get(cell.own_photos, prepare)

    def class_pictures(self, cell: Cell, model: Backbone, protected: Work | None, prompt: str) -> Pixels:
        """By `model`, which is the one of the work `protected`, or the unprotected one."""

        def make(folder: Path) -> None:
            told = self._told("class images", cell)
            _save(
                class_images(model, prompt, cell.class_images, cell.setup_seed, cell.sampling, told), folder
            )

        folder = self.works.get(cell.drawn(protected, prompt), lambda: make)
        return load(_files(folder), model.resolution)

    def model(self, cell: Cell) -> Backbone:
        """The model under attack."""
        backbone, work, protector = self.pristine(cell), cell.protected, cell.protector
        if work is None or protector is None:
            return backbone

        def prepare() -> Make:
            who, size = self.subject(cell.protected_for), backbone.resolution
            prior = self.class_pictures(cell, backbone, None, class_prompt(who.class_noun))
            photos = who.pixels("protect", size)

            def make(folder: Path) -> None:
                positives = paired_positives(
                    backbone, who.class_prompt, len(photos), cell.setup_seed, cell.sampling
                )
                material = protection_material(
                    backbone, photos, positives, prior, who.instance_prompt, who.class_prompt
                )
                told = titled(self.watch, f"{protector.name} {who.name}")
                method = self.tools.methods.protectors[protector.name].using(protector.settings)
                protected = method(backbone, [material], cell.setup_seed, told)
                weights = {name: it.detach().contiguous() for name, it in protected.weights().items()}
                save_file(weights, folder / WEIGHTS)

            return make

        return backbone.copy_with(load_file(self.works.get(work, prepare) / WEIGHTS))

    def pristine(self, cell: Cell) -> Backbone:
        if cell.model not in self._models:
            self._models[cell.model] = self.tools.load(cell.model, self.device)
        return self._models[cell.model]

    def eye(self, name: str) -> FeatureExtractor:
        if name not in self._judges:
            self._judges[name] = self.tools.judge(name)
        return self._judges[name]

    def judges(self, paper: Paper) -> Examiners:
        key = digest(paper.about)
        if key not in self._examiners:
            self._examiners[key] = self.tools.examiners(paper, self.works.device)
        return self._examiners[key]

    def subject(self, who: Source) -> Subject:
        return who.read(self.works.get(subject_work(who), lambda: who.write))

    def _told(self, what: str, cell: Cell) -> Watch:
        return titled(self.watch, f"{what} {cell.subject.name} {cell.seed}")


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.png"))


def _save(pixels: Pixels, folder: Path) -> None:
    save_png(pixels, folder, STEM)
