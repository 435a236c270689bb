"""Imports have no effects, and reading a report costs no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LIGHT = ("apdm.report", "apdm.benchmark.record", "apdm.benchmark.tables.outcome", "apdm.cli.main")

# Imports every module twice. Libraries may draw random numbers when they are first imported, so the
# streams are compared over the second time, when only our own modules run; the settings over both.
EFFECTS = """
import importlib, logging, os, pkgutil, random, sys
import numpy, torch

def settings():
    return {
        "gradients": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "folder": os.listdir(),
        "log level": logging.getLogger().level,
        "log handlers": list(logging.getLogger().handlers),
    }

def streams():
    return {
        "torch stream": torch.get_rng_state().tolist(),
        "numpy stream": numpy.random.get_state()[1].tolist(),
        "python stream": random.getstate(),
    }

def load():
    import apdm
    names = [module.name for module in pkgutil.walk_packages(apdm.__path__, "apdm.")]
    for name in names:
        importlib.import_module(name)
    return len(names)

before = settings()
load()
for name in [name for name in sys.modules if name.partition(".")[0] == "apdm"]:
    del sys.modules[name]
before |= streams()
count = load()
after = settings() | streams()
print(count, [key for key in before if before[key] != after[key]])
"""


def run(code: str, folder: Path) -> str:
    """What `code` prints in a fresh interpreter in `folder`."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_do_not_load_torch(module: str, tmp_path: Path) -> None:
    code = f"import sys, {module}; print(sorted({{'torch', 'diffusers', 'transformers'}} & set(sys.modules)))"
    assert run(code, tmp_path) == "[]\n"


def test_importing_the_package_imports_nothing_else(tmp_path: Path) -> None:
    code = "import sys; before = set(sys.modules); import apdm; print(sorted(set(sys.modules) - before))"
    assert run(code, tmp_path) == "['apdm']\n"


def test_no_module_has_effects_when_imported(tmp_path: Path) -> None:
    count, changed = run(EFFECTS, tmp_path).split(maxsplit=1)
    assert int(count) >= 30
    assert changed == "[]\n"
