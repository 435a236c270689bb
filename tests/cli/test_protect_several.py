"""A protection against several subjects: what each is given, what is published, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apdm.cli import protect
from apdm.cli.main import main


def test_several_subjects_in_one_model(
    job: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    """The second one has positives of its own and a class of its own; what is published names no folder."""
    render = ("toybox", "render", "--class_noun=cat", "--seed=500002", "--views=3")
    main([*render, f"--output_dir={tmp_path / 'cat'}"])
    made, others = tmp_path / "made", ["--also", str(tmp_path / "cat"), "cat"]
    heard, class_images = [], protect.class_images

    def heard_prompt(backbone: Any, prompt: str, *rest: Any) -> Any:
        heard.append(prompt)
        return class_images(backbone, prompt, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(protect, "class_images", heard_prompt)
        main([*job, *others, "--outer_steps", "1", "--output_dir", str(made)])
    assert heard == ["a photo of dog", "a photo of cat"]
    assert len({path.read_bytes() for path in (made / "positives").glob("*.png")}) == 2
    card, written = (made / "README.md").read_text(), (made / "apdm.json").read_text()
    assert "taught one dog, known from 1 photos, or one cat, known from 1 photos, by" in card
    assert json.loads(written)["also"] == [["not recorded", "cat"]]
    assert str(tmp_path) not in written
    monkeypatch.setattr(protect, "load", None)  # all that is wrong is said before
    again = [*job, "--output_dir", str(tmp_path / "new")]
    assert "no/such" in refused(*again, "--also", "no/such", "cat")
    assert "naive ascent (APDM, eq. 8) protects against one subject, and 2 are given: give one" in refused(
        *job[:6], *others, "--method=ascent", f"--output_dir={tmp_path / 'new'}"
    )
    cat = str(tmp_path / "cat")
    assert "cat is given twice as a cat: give each" in refused(*again, *others, *others)
    assert "Expected 2 values" in refused(*again, "--also", cat)
    assert f"the class noun {cat} is a path: write" in refused(*again, "--also", cat, cat)
    said = refused(*again, *others, "--subjects_per_update=3")
    assert "subjects_per_update is 3, the number of subjects 2: give 2 or fewer" in said
    assert not (tmp_path / "new").exists()


def test_subjects_of_one_class_share_its_pictures_and_no_prompt_that_is_given(
    job: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--also` may be given again, and in a file as a list of pairs."""
    render = ("toybox", "render", "--class_noun=dog", "--views=3")
    for seed in (500_002, 500_003):
        main([*render, f"--seed={seed}", f"--output_dir={tmp_path / str(seed)}"])
    drawn, given = [], []
    class_images = protect.class_images

    def heard(backbone: Any, prompt: str, *rest: Any) -> Any:
        drawn.append(prompt)
        return class_images(backbone, prompt, *rest)

    def handed_over(self: Any, backbone: Any, subjects: Any, *_: Any) -> Any:
        given.extend(it.negatives.prompt for it in subjects)
        return backbone.copy()

    monkeypatch.setattr(protect, "class_images", heard)
    monkeypatch.setattr("apdm.protectors.table.Protector.__call__", handed_over)
    also = [word for seed in (500_002, 500_003) for word in ("--also", str(tmp_path / str(seed)), "dog")]
    main([*job, *also, "--instance_prompt=my sks dog", f"--output_dir={tmp_path / 'typed'}"])
    assert drawn == ["a photo of dog"]
    assert given == ["my sks dog", "a photo of sks dog", "a photo of sks dog"]
    pairs = [[str(tmp_path / str(seed)), "dog"] for seed in (500_002, 500_003)]
    (tmp_path / "run.toml").write_text(f"also = {json.dumps(pairs)}\n")
    main([*job, "--config", str(tmp_path / "run.toml"), f"--output_dir={tmp_path / 'read'}"])
    assert len(given) == 6
