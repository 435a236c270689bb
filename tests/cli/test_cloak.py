"""`apdm cloak` as a person types it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from apdm.cli import cloak
from apdm.cli.main import main
from apdm.cloaks.advdm import AdvDM
from apdm.cloaks.aspl import ASPL
from apdm.pixels import load
from apdm.subject import Subject


def run(*arguments: str | Path) -> None:
    main([str(argument) for argument in arguments])


LEARNT = ("--num_class_images", "2", "--num_inference_steps", "1", "--surrogate.max_train_steps", "1")
FEW = ("--steps", "2", "--rounds", "1")


def test_cloak_purify_attack(model: Path, photos: Path, tmp_path: Path) -> None:
    """The cloaked photos of the attack set are PNG, within the budget of the photos, and can be purified
    and attacked with."""
    cloaked, purified, attacked = (tmp_path / name for name in ("cloaked", "purified", "attacked"))
    subject = ("--subject", photos, "--class_noun", "dog")
    before = {path: path.read_bytes() for path in photos.iterdir()}
    large = ("--resolution", "64")  # less is no photo to an attack
    run("cloak", model, *subject, *FEW, *LEARNT, *large, "--ensemble", model, "--output_dir", cloaked)
    assert before == {path: path.read_bytes() for path in photos.iterdir()}

    made = Subject.from_folder(photos, "dog")
    paths = [cloaked / f"cloaked_{number:05d}.png" for number in range(len(made.attack))]
    assert {path.name for path in cloaked.iterdir()} == {p.name for p in paths} | {"cloak.json", "log.jsonl"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    change = (load(paths, 64) - made.pixels("attack", 64)).abs() * 127.5
    assert 0 < change.max() <= 6.375 + 0.5

    text = (cloaked / "cloak.json").read_text()
    record = json.loads(text)
    assert str(tmp_path) not in text
    assert record["budget"] == {"value": 0.05, "range": [-1, 1], "grey_levels": 6.375}
    assert record["settings"]["method"] == "aspl"
    assert record["settings"]["ensemble"] == ["model"]
    assert record["settings"]["cloak"]["surrogate"]["kind"] == "DreamBooth"
    assert [it["file"] for it in record["pictures"]] == [path.name for path in paths]
    assert [it["photo_sha256"] for it in record["pictures"]] == list(made.hashes("attack"))
    for it, path in zip(record["pictures"], paths, strict=True):
        assert it["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()

    run("purify", cloaked, "--method", "jpeg", "--quality", "50", "--output_dir", purified)
    assert len(list(purified.glob("purified_*.png"))) == len(paths)
    assert json.loads((purified / "apdm.json").read_text())["purifier"] == {"kind": "Jpeg", "quality": 50}
    one_step = ("--max_train_steps", "1", *LEARNT[:4])
    rest = ("--class_noun", "dog", "--same_images", *one_step, "--output_dir", attacked)
    run("personalize", model, "--subject", purified, *rest)
    assert (attacked / "model_index.json").is_file()


def test_the_method_is_given_both_sets_the_class_and_every_model(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def against(self, backbone, material, climb, seed, watch):
        given.append((backbone.name, material))
        return lambda pictures, number: pictures

    monkeypatch.setattr(ASPL, "against", against)
    monkeypatch.setattr(AdvDM, "against", against)
    shutil.copytree(model, tmp_path / "second")
    subject = ("--subject", photos, "--class_noun", "dog", "--num_class_images", "2")
    for name, extra in (
        ("ensemble", ("--ensemble", tmp_path / "second")),
        ("alone", ("--no_with_prior_preservation",)),
        ("advdm", ("--method", "advdm")),
    ):
        run("cloak", model, *subject, *LEARNT[2:4], *extra, "--output_dir", tmp_path / name)
    assert [name for name, _ in given] == [str(model), str(tmp_path / "second"), str(model), str(model)]
    made = Subject.from_folder(photos, "dog")
    for _, material in given:
        assert torch.equal(material.pixels, made.pixels("attack", 16))
        assert torch.equal(material.clean, made.pixels("protect", 16))
        assert (material.instance_prompt, material.class_prompt) == ("a photo of sks dog", "a photo of dog")
    assert [None if m.prior is None else tuple(m.prior.shape) for _, m in given] == [(2, 3, 16, 16)] * 2 + [
        None
    ] * 2


def test_a_target_and_a_budget_are_heard(model: Path, photos: Path, tmp_path: Path) -> None:
    subject = ("--subject", photos, "--class_noun", "dog")
    rest = ("--method", "mist", "--mode", "textural", "--budget", "2/255", *FEW)
    target = ("--target", min(photos.glob("*.png")))
    for name, extra in (("pattern", ()), ("target", target)):
        run("cloak", model, *subject, *rest, *extra, "--output_dir", tmp_path / name)
    pattern, led = (load(sorted((tmp_path / name).glob("*.png")), 16) for name in ("pattern", "target"))
    originals = Subject.from_folder(photos, "dog").pixels("attack", 16)
    assert not torch.equal(pattern, led)
    assert (pattern - originals).abs().max() * 127.5 <= 2.5
    record = json.loads((tmp_path / "target" / "cloak.json").read_text())
    assert record["budget"]["grey_levels"] == 2
    assert record["settings"]["target"] == "not recorded"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cloak", "MODEL", "SUBJECT", "--budget", "0.05"), "write 8/255 for eight grey levels"),
        (("cloak", "MODEL", "SUBJECT", "--budget", "0.05"), "0.05@[-1,1]"),
        (("cloak", "MODEL", "SUBJECT", "--method", "simca"), "no method 'simca': did you mean 'simac'?"),
        (("cloak", "MODEL", "SUBJECT", "--target", "x.png"), "aspl leads to no target"),
        (
            ("cloak", "MODEL", "SUBJECT", "--method", "mist", "--target", "no.png"),
            "no.png: cannot be read",
        ),
        (("cloak", "MODEL", "SUBJECT", "--steps", "0"), "steps is 0: give 1 or more"),
        (("cloak", "MODEL", "SUBJECT", "--ensemble", "no/such/model"), "'no/such/model' does not exist"),
        (("cloak", "MODEL", "SUBJECT", "--resolution", "33"), "resolution is 33"),
    ],
)
def test_what_cannot_be_used_is_one_line_before_anything_heavy(
    arguments: tuple[str, ...],
    said: str,
    model: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cloak, "load", None)
    monkeypatch.setattr("apdm.cli.options.load", None)
    words = {"MODEL": (model,), "SUBJECT": ("--subject", photos, "--class_noun", "dog")}
    given = [str(word) for argument in arguments for word in words.get(argument, (argument,))]
    with pytest.raises(SystemExit) as stop:
        run(*given, "--output_dir", tmp_path / "made")
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert said in error
    assert len(error.strip().splitlines()) == 1
