"""What stands beside a measurement is of the same pictures."""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from apdm.benchmark.estimate import estimate


@pytest.mark.parametrize("side", [None, 64])
def test_the_estimate_is_of_the_side_that_is_measured(
    side: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    real_size = import_module("real_size")
    asked = Mock(return_value=SimpleNamespace(protecting=7))
    monkeypatch.setattr(real_size, "estimate", asked)
    assert real_size.estimated("folder", real_size.Way(), side) == 7
    assert signature(estimate).bind(*asked.call_args.args, **asked.call_args.kwargs).arguments["size"] == side
