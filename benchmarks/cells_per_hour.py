"""Cells an hour of `apdm bench` with 1 and with 2 workers: the same eight small cells of the Toybox, each
time in a new folder, in turns.

    python benchmarks/cells_per_hour.py              # about four minutes on two quiet cores
    python benchmarks/cells_per_hour.py --rounds 3

The whole command is timed, its start included, and every worker has its share of the cores. A line of
cells.jsonl in --output_dir. The ratio is the figure: seconds mean nothing on another machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

WORKERS = (1, 2)
SIZES = """
[toy]
model = "toybox"
judge = "toybox-identity"
preset = "toybox"
subjects = { person = [0, 1], dog = [0, 1] }
seeds = [0]
class_images = 16
images_per_prompt = { evaluation = 4 }
sampling = { num_inference_steps = 20, guidance_scale = 3.0, sample_batch_size = 16 }
personalizer.dreambooth = { max_train_steps = 60, train_batch_size = 4 }
cloak.advdm = { steps = 50 }
"""
SCENARIO = """
name = "cells"
title = "Cells an hour"
row = [{ label = "DreamBooth", role = "control" }, { label = "AdvDM, 0 clean", cloak = "advdm", clean = 0 }]
"""


def seconds(workers: int) -> tuple[float, int]:
    """What the command takes, and how many cells it makes."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "sizes.toml").write_text(SIZES)
        (folder / "cells.toml").write_text(SCENARIO)
        command = [sys.executable, "-m", "apdm", "bench", str(folder / "cells.toml")]
        started = time.monotonic()
        subprocess.run(
            [*command, "--output_dir", str(folder / "run"), "--workers", str(workers)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return time.monotonic() - started, len(list((folder / "run" / "records").glob("*.json")))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--output_dir", type=Path, default=Path("runs/speed"))
    args = parser.parse_args()
    rates: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    for round_ in range(args.rounds):
        for workers in sorted(WORKERS, reverse=bool(round_ % 2)):
            took, cells = seconds(workers)
            rates[workers].append(3600 * cells / took)
    each = [two / one for one, two in zip(*rates.values(), strict=True)]
    line = {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "cells an hour": {workers: round(median(rate)) for workers, rate in rates.items()},
        "ratio": {"median": round(median(each), 2), "all": [round(it, 2) for it in each]},
    }
    print(json.dumps(line, indent=2))
    args.output_dir.mkdir(parents=True, exist_ok=True)
    with (args.output_dir / "cells.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
