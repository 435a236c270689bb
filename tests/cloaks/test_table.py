from __future__ import annotations

import pytest

from apdm.cloaks.base import Cloak
from apdm.cloaks.table import CLOAKS


@pytest.mark.parametrize("name", CLOAKS)
def test_every_cloak_has_published_settings_under_its_own_name(name: str) -> None:
    cloak = CLOAKS[name]()  # pyright: ignore[reportCallIssue]
    assert isinstance(cloak, Cloak)
    assert type(cloak).__name__.lower() == name
    assert hash(cloak) == hash(CLOAKS[name]())  # pyright: ignore[reportCallIssue]
    assert cloak.learns == hasattr(cloak, "surrogate")
