"""Methods by name, with the settings that fit."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from apdm.backbones.execution import Execution
from apdm.benchmark.tables.methods import METHODS
from apdm.errors import InputError
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.apdm import PUBLISHED
from apdm.steps import all_steps
from apdm.toybox import presets


def test_settings_are_the_presets_or_the_published_ones() -> None:
    assert METHODS.settings("protector", "apdm", "published", "here") == PUBLISHED
    assert METHODS.settings("protector", "apdm", "toybox", "here") == presets.PROTECTION
    assert METHODS.settings("personalizer", "dreambooth", "toybox", "here") == presets.ATTACKS["dreambooth"]
    assert METHODS.settings("personalizer", "dreambooth", "published", "here") == DreamBooth()


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="here has an unknown 'apmd': did you mean 'apdm'"):
        METHODS.settings("protector", "apmd", "toybox", "here")
    with pytest.raises(InputError, match="preset has an unknown 'toybo': did you mean 'toybox'"):
        METHODS.settings("protector", "apdm", "toybo", "here")


def test_a_protector_runs_with_the_settings_that_it_is_given() -> None:
    asked: list[Any] = []
    model: Any = SimpleNamespace(execution=Execution())
    method = replace(METHODS.protectors["apdm"], loop=lambda *arguments: asked.extend(arguments))
    method.using(presets.PROTECTION)(model, "material", 7, "watch")
    assert asked == [model, "material", presets.PROTECTION, 7, "watch", all_steps]
    assert method.settings == PUBLISHED
