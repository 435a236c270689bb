"""A saved model is whole, loads elsewhere, and its papers name nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from apdm.benchmark import store
from apdm.benchmark.card import protected_card
from apdm.benchmark.store import (
    discard,
    drop_half_line,
    forget_parts,
    plain,
    save_file,
    save_model,
    save_text,
    versions,
    write_config,
)
from apdm.errors import InputError
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
    def broken(folder: Path) -> None:
        tiny.save(folder)
        raise OSError("no space left")

    with pytest.raises(InputError, match=r"out' could not be written \(no space left\): make room"):
        save_model(broken, tmp_path / "out", "card", {})
    assert list(tmp_path.rglob("*")) == [tmp_path / "out"]


def test_a_model_is_written_in_its_folder_which_may_be_a_disk_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the current one, or one in a folder where nothing may be written."""
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    seen: list[Path] = []

    def save(part: Path) -> None:
        part.mkdir()
        seen.extend(place for place in tmp_path.rglob("*") if place.is_dir())

    said: list[str | None] = []
    write_text = Path.write_text

    def noting(place: Path, text: str, encoding: str | None = None) -> int:
        said.append(encoding)
        return write_text(place, text, encoding)

    monkeypatch.setattr(Path, "write_text", noting)
    save_model(save, Path(), "of one \N{CJK UNIFIED IDEOGRAPH-72AC}", {})
    assert said[0] == "utf-8"  # the card's, whatever this system's is
    (part,) = set(seen) - {tmp_path / "out"}
    assert part.parent == tmp_path / "out"
    assert sorted(place.name for place in (tmp_path / "out").iterdir()) == ["README.md", "apdm.json"]
    assert (tmp_path / "out" / "README.md").read_bytes() == "of one \u72ac".encode()


@pytest.fixture
def disk_of_a_hundred_kilobytes() -> Iterator[None]:
    """No file grows beyond; the system refuses as it does on a full disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("disk_of_a_hundred_kilobytes")
def test_a_disk_that_fills_up_while_a_model_is_saved_is_one_line(
    tiny: StableDiffusion, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError) as caught:
        save_model(tiny.save, tmp_path / "out", "card", {})
    assert "could not be written" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.rglob("*")] == ["out"]


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    def half(path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    place = tmp_path / "new" / "model.safetensors"
    with pytest.raises(KeyboardInterrupt):
        save_file(half, place)
    assert list(place.parent.iterdir()) == []
    save_file(lambda path: path.write_text("whole") and None, place)
    assert [p.name for p in place.parent.iterdir()] == ["model.safetensors"]


def test_a_save_that_was_killed_half_way_is_made_good(tiny: StableDiffusion, tmp_path: Path) -> None:
    """Between two moves: some parts are there, and the next save puts its own in their place."""
    save_model(tiny.save, tmp_path / "out", "old card", {})
    (tmp_path / "out" / "unet" / "old.txt").write_text("of the killed one")
    (tmp_path / "out" / "model_index.json").unlink()
    save_model(tiny.save, tmp_path / "out", "card", {})
    assert (tmp_path / "out" / "README.md").read_text() == "card"
    assert (tmp_path / "out" / "model_index.json").exists()
    assert not (tmp_path / "out" / "unet" / "old.txt").exists()


def test_a_model_that_is_replaced_is_no_model_until_all_of_it_is(
    tiny: StableDiffusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tiny.save, tmp_path / "out", "card", {})

    def stop_at_the_unet(place: Path) -> None:
        if place.name == "unet":
            raise KeyboardInterrupt
        discard(place)

    monkeypatch.setattr(store, "discard", stop_at_the_unet)
    with pytest.raises(KeyboardInterrupt):
        save_model(tiny.save, tmp_path / "out", "card", {})
    assert not (tmp_path / "out" / "model_index.json").exists()


def test_what_killed_processes_left_is_forgotten_and_nothing_else(tmp_path: Path) -> None:
    """What lies beside is of others, who may be writing it: `apdm export` writes out.safetensors there."""
    out = tmp_path / "out"
    for place in (out / ".checkpoint-5.12.part", out / "checkpoint-5"):
        place.mkdir(parents=True)
        (place / "weights").write_text("")
    for place in (tmp_path / ".out.safetensors.12.part", out / ".mine.part"):
        place.write_text("")
    forget_parts(out)
    assert {place.name for place in tmp_path.iterdir()} == {"out", ".out.safetensors.12.part"}
    assert {place.name for place in out.iterdir()} == {"checkpoint-5", ".mine.part"}
    discard(out / "checkpoint-5")
    discard(out / "checkpoint-6")
    discard(out / ".mine.part")
    assert list(out.iterdir()) == []


def test_of_a_link_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").write_text("")
    for target in ("other", "nowhere"):
        (tmp_path / "link").symlink_to(target)
        discard(tmp_path / "link")
    assert [place.name for place in tmp_path.iterdir()] == ["other"]
    assert (tmp_path / "other" / "mine").exists()


def test_a_place_below_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/below' could not be written"):
        save_text("", tmp_path / "file" / "below")


@pytest.mark.usefixtures("disk_of_a_hundred_kilobytes")
def test_settings_are_whole_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="could not be written"):
        write_config({"prompt": ["a dog"] * 100_000}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_half_a_line_is_cut_off(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    drop_half_line(log)
    assert not log.exists()
    for written, left in (("", ""), ("{", ""), ("{}\n", "{}\n"), ("{}\n[]\n{", "{}\n[]\n")):
        log.write_text(written)
        drop_half_line(log)
        assert log.read_text() == left


def test_settings_become_plain() -> None:
    @dataclass(frozen=True)
    class Odd:
        where: Path = Path("x")
        how: Reduction = Reduction.ELEMENT
        many: tuple[int, ...] = (1, 2)

    assert plain(Odd()) == {"kind": "Odd", "where": "x", "how": "element", "many": [1, 2]}
    json.dumps(plain(APDM()))


def test_the_card_states_settings_and_limits() -> None:
    card = protected_card("base", [("dog", 4)], plain(APDM(beta=3.0)))
    assert card.startswith("---\nbase_model: base\n")
    assert "- beta: 3.0" in card
    assert "- simulated.learning_rate: 5e-06" in card
    assert "original weights" in card


def test_versions_name_what_a_result_depends_on() -> None:
    assert {"apdm", "torch", "diffusers"} <= set(versions())
