"""A saved model is whole, loads elsewhere, and its papers name nobody."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from apdm.benchmark.card import protected_card
from apdm.benchmark.store import plain, save_model, versions
from apdm.losses.dpo import Reduction
from apdm.protectors.apdm import APDM

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion


def test_the_folder_loads_in_plain_diffusers(tiny: StableDiffusion, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "log.jsonl").write_text("{}\n")
    save_model(tiny.save, tmp_path / "out", "card", {"seed": 0})
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "out")
    assert pipeline.unet.config["sample_size"] == 8
    assert json.loads((tmp_path / "out" / "apdm.json").read_text()) == {"seed": 0}
    assert (tmp_path / "out" / "log.jsonl").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_failed_save_leaves_no_model(tiny: StableDiffusion, tmp_path: Path) -> None:
    class Broken:
        def save(self, folder: Path) -> None:
            tiny.save(folder)
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        save_model(Broken().save, tmp_path / "out", "card", {})  # pyright: ignore[reportArgumentType]
    assert list(tmp_path.iterdir()) == []


def test_settings_become_plain() -> None:
    @dataclass(frozen=True)
    class Odd:
        where: Path = Path("x")
        how: Reduction = Reduction.ELEMENT
        many: tuple[int, ...] = (1, 2)

    assert plain(Odd()) == {"kind": "Odd", "where": "x", "how": "element", "many": [1, 2]}
    json.dumps(plain(APDM()))


def test_the_card_states_settings_and_limits() -> None:
    card = protected_card("base", "dog", 4, plain(APDM(beta=3.0)))
    assert card.startswith("---\nbase_model: base\n")
    assert "- beta: 3.0" in card
    assert "- simulated.learning_rate: 5e-06" in card
    assert "original weights" in card


def test_versions_name_what_a_result_depends_on() -> None:
    assert {"apdm", "torch", "diffusers"} <= set(versions())
