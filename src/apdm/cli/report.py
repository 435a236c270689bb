"""`apdm report`: a run's page and contact sheet, from its record and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from apdm.cli.arguments import read
from apdm.report import write_contact_sheet, write_report

EXAMPLE = "apdm report runs/demo"


@dataclass(frozen=True)
class Report:
    """Write report.html, report.json and contact-sheet.png of a finished run again."""

    run: tyro.conf.Positional[Path]
    """The run's folder, with result.json and pictures/."""
    show_faces: bool = False
    """Show people as they are; blurred if not given. Toys are always shown."""


def main(arguments: Sequence[str]) -> None:
    wanted = read(Report, "report", arguments, EXAMPLE)
    print(write_report(wanted.run, wanted.show_faces))
    print(write_contact_sheet(wanted.run, wanted.show_faces))
