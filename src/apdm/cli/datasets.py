"""`apdm datasets check`: what a folder of published photos holds, and how its subjects are divided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from apdm.cli.arguments import read
from apdm.datasets.base import Dataset, Division, Finding, Source, survey
from apdm.datasets.manifest import read_manifest, write_manifest
from apdm.datasets.table import dataset
from apdm.errors import InputError, at_least

EXAMPLE = "apdm datasets check dreambooth/dataset --kind dreambooth"
SHOWN = 30  # rows of the table: the DreamBooth dataset's subjects


@dataclass(frozen=True)
class Check:
    """Look at a folder of photos as one of the papers' datasets: its subjects, what is missing, and how
    the photos are divided into protect, attack and held_out. Exits with 2 where nothing can be used."""

    path: tyro.conf.Positional[Path]
    """Where the photos are; for the toybox, where its pictures are to go."""
    kind: str
    """celeba-hq, vggface2, dreambooth, customconcept101, folders, or toybox."""
    class_noun: str | None = None
    """What every subject is, for "folders"."""
    identities: Path | None = None
    """CelebA-HQ's list with a line FILE IDENTITY for each picture; else CelebA-HQ-identity.txt in PATH."""
    count: int | None = None
    """Subjects wanted, in an order drawn by the seed; all of them if not given [Anti-DreamBooth: 50]."""
    division: Division | None = None
    """fours (people), in_turn (objects) or same_images (the APDM paper); as the kind has it if not given."""
    seed: int = 0
    """Which subjects, and which photos in which set."""
    write_manifest: Path | None = None
    """Write the subjects' photos with their SHA-256 to this file."""
    manifest: Path | None = None
    """Check the photos against this manifest instead of dividing them."""


def main(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0] != "check":
        if arguments and arguments[0] in ("-h", "--help"):
            print(f"usage: apdm datasets check PATH --kind KIND [options]\n\nExample: {EXAMPLE}")
            return
        raise InputError("say what to do with the dataset", fix="use 'check'")
    wanted = read(Check, "datasets check", arguments[1:], EXAMPLE)
    if wanted.count is not None:
        at_least(wanted, count=1)
    found = dataset(wanted.kind, Source(wanted.path, wanted.class_noun, wanted.identities))
    if wanted.manifest:
        subjects = read_manifest(wanted.manifest, found.root)
        findings = [Finding(subject.name, subject) for subject in subjects]
    else:
        findings = list(survey(found, wanted.seed, wanted.division, wanted.count))
    _show(findings, found, wanted)
    subjects = [finding.subject for finding in findings if finding.subject]
    if not subjects:
        raise InputError(f"no subject of {wanted.path} can be used", fix=findings[0].problem)
    if wanted.count is not None and len(subjects) < wanted.count:
        raise InputError(f"{len(subjects)} subjects can be used", fix=f"{wanted.count} are wanted")
    if wanted.write_manifest:
        write_manifest(wanted.write_manifest, found.root, subjects)
        print(f"manifest in {wanted.write_manifest}")


def _show(findings: Sequence[Finding], found: Dataset, wanted: Check) -> None:
    table = Table("subject", "class", "protect", "attack", "held out", "note", box=None)
    for finding in findings[:SHOWN]:
        table.add_row(finding.name, *_row(finding))
    console = Console()
    console.print(table)
    if len(findings) > SHOWN:
        console.print(f"and {len(findings) - SHOWN} more")
    good = sum(finding.subject is not None for finding in findings)
    console.print(f"usable: {good} of {len(findings)} looked at, of {len(found.names)} in {wanted.path}")
    for line in found.missing():
        console.print(f"missing: {line}")
    console.print(f"licence: {found.licence}")


def _row(finding: Finding) -> tuple[str, ...]:
    if finding.subject is None:
        return "", "", "", "", finding.problem
    it = finding.subject
    aside = sum(not v.usable and not v.sidecar for v in it.verdicts)
    sizes = (str(len(paths)) for paths in (it.protect, it.attack, it.held_out))
    return it.class_noun, *sizes, f"{aside} set aside" if aside else ""
