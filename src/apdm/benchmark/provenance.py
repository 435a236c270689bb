"""By which code, on what, with how much memory: what every record says of itself."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

import torch

from apdm.benchmark.record import Provenance
from apdm.benchmark.store import versions

PACKAGE = Path(__file__).resolve().parents[1]


def provenance(device: torch.device) -> Provenance:
    """Of what is made now, by this code on `device`."""
    commit, dirty = code()
    return Provenance(commit, dirty, device_name(device), versions())


@cache
def code() -> tuple[str, bool]:
    """The last commit that changed the package and whether it has changes on top; an installed package
    without a history is known by its version. Asked once: a long run is of the code that it started with."""
    commit = _git("log", "-1", "--format=%H", "--", ".")
    if not commit:
        return f"apdm {versions()['apdm']}", False
    return commit, bool(_git("status", "--porcelain", "--", "."))


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type} {platform.machine()}, {threads} thread{'s' if threads > 1 else ''}"


def forget_peak(device: torch.device) -> None:
    """Lets `peak_memory` count from here; a CPU process has one peak for its life."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int | None:
    """Bytes: on a GPU the most that was allocated since `forget_peak`, else the process's most so far. None
    where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # kibibytes elsewhere


def _git(*arguments: str) -> str:
    """What git says in the package's folder; nothing where there is no git or no repository."""
    command = ["git", "-C", str(PACKAGE), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
