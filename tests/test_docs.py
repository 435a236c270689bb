"""What the documents point at is there."""

from __future__ import annotations

import importlib
import re
from functools import reduce
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("recipes/*.md")]


def resolve(name: str) -> object:
    """What `name`, a path below `apdm`, stands for: as many modules as there are, then attributes."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(("apdm", *parts[:count])))
        except ModuleNotFoundError:
            continue
        return reduce(getattr, parts[count:], module)
    raise AttributeError(name)


def test_links_between_documents_lead_somewhere() -> None:
    links = [
        (document, target.partition("#")[0])
        for document in DOCUMENTS
        for target in re.findall(r"\[[^\]]+\]\(([^)]+)\)", document.read_text())
        if "://" not in target
    ]
    assert len(links) >= 7
    assert [link for link in links if not (link[0].parent / link[1]).exists()] == []


def test_each_equation_has_its_function() -> None:
    names = re.findall(r"`([a-z0-9_]+\.[A-Za-z0-9_.]+)`", (ROOT / "docs" / "papers.md").read_text())
    names = [name for name in names if not name.endswith(".py") and not name.startswith(("schedule.", "."))]
    assert len(names) >= 15
    for name in names:
        resolve(name)
