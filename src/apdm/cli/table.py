"""`apdm table`: the tables of a bench's records, with the published figures beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from apdm.benchmark.tables.cost_table import cost_tables
from apdm.benchmark.tables.finished import any_examined
from apdm.benchmark.tables.outcome import read_listings
from apdm.benchmark.tables.tabulate import any_finished, tabulate
from apdm.cli import frozen
from apdm.cli.arguments import read
from apdm.cli.options import check_folder
from apdm.errors import InputError
from apdm.report.paper_table import write_table
from apdm.report.table_sheet import write_sheet

EXAMPLE = "apdm table runs/bench"


@dataclass(frozen=True)
class Table:
    """Write each table of a bench's folder as Markdown, LaTeX and HTML, and, where its works are there too, a
    sheet of pictures. Records of two commits or of two versions of the evaluation are not mixed. Of a frozen
    evaluation that is not finished, the figures of its first attack seeds."""

    records: tyro.conf.Positional[Path]
    """The folder that `apdm bench` wrote."""
    output_dir: Path | None = None
    """Where the tables go; into the folder itself, under tables/, if not given. A frozen evaluation's figures
    go to where it has them."""


def main(arguments: Sequence[str]) -> None:
    wanted = read(Table, "table", arguments, EXAMPLE)
    records = wanted.records
    is_frozen = frozen.holds_results(records)
    output = wanted.output_dir or (records if is_frozen else records / "tables")
    check_folder(output)
    if is_frozen:
        print(frozen.tell(records, output))
    else:
        write_tables(records, output)


def write_tables(records: Path, folder: Path) -> None:
    """Raises `InputError` where no cell is finished."""
    listings = read_listings(records)
    begun = [it for it in listings if any_finished(it, records)]
    if not begun:
        raise InputError(f"no cell in '{records}' is finished", fix="run apdm bench")
    for listing in listings:
        if listing not in begun:
            print(f"{listing.name} at size {listing.size}: no cell is finished")
            continue
        costs = bool(listing.before)
        if costs and not any_examined(listing, records):
            print(f"{listing.name} at size {listing.size}: the unprotected model has no exam yet")
            continue
        tables = cost_tables(listing, records) if costs else [tabulate(listing, records)]
        for path in (path for table in tables for path in write_table(table, folder)):
            print(path)
        if (records / "works").is_dir() and (sheet := write_sheet(listing, records, folder)):
            print(sheet)
