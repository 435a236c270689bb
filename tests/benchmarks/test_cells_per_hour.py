"""The cells whose number an hour is measured are cells that the bench can make."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from apdm.cli.main import main

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "cells_per_hour.py"


def test_there_are_eight_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = runpy.run_path(str(SCRIPT))
    (tmp_path / "sizes.toml").write_text(known["SIZES"])
    (tmp_path / "cells.toml").write_text(known["SCENARIO"])
    main(["bench", str(tmp_path / "cells.toml"), "--dry_run", "--output_dir", str(tmp_path / "run")])
    assert "8 cells, 8 to make" in capsys.readouterr().out
