"""Scenario files: what stands in them and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from apdm.benchmark.frozen.scenario import PLACEBOS, read_scenario
from apdm.errors import InputError

PAGE = Path(__file__).resolve().parents[3] / "docs" / "evaluation.md"
FROZEN = Path(__file__).resolve().parents[3] / "scenarios" / "protection.toml"


def test_the_frozen_scenario_is_what_the_evaluation_page_says() -> None:
    frozen = read_scenario(FROZEN)
    assert frozen.class_nouns == ("dog", "cat", "person")
    assert (frozen.subjects, frozen.others) == ((0, 1), (2, 3, 4))
    assert len(frozen.attack_seeds) >= 3
    steps = frozen.attack.max_train_steps
    attacks = [(it.learning_rate, it.max_train_steps) for it in (frozen.attack, frozen.strongest)]
    assert attacks == [(5e-4, 300), (1e-3, 600)]
    page = PAGE.read_text()
    assert all(
        f"{rate:g} for {n} steps".replace("0.0005", "5e-4").replace("0.001", "1e-3") in page
        for rate, n in attacks
    )
    assert (frozen.images_per_prompt, frozen.asked_images, frozen.error_scenes) == (16, 500, 1000)
    assert set(frozen.placebos) == set(PLACEBOS)
    assert frozen.stops == (steps // 2, steps, 2 * steps, 4 * steps)
    assert frozen.captioned_images >= 2000
    assert frozen.reference_renders >= 10_000


@pytest.mark.parametrize(
    ("line", "wrong", "said"),
    [
        ("seed = 0", "sed = 0", "unknown 'sed': did you mean 'seed'"),
        ("train_batch_size = 4", "train_batch = 4", "did you mean 'train_batch_size'"),
        ("times =", "# times =", "has no 'times'"),
        ("others = [2, 3, 4]", "others = [1, 2]", "has a subject among the others"),
        ("asked_images = 500", "asked_images = 0", "asked_images is 0"),
        ('"no DPO"', '"no dpo"', "there is no placebo 'no dpo'"),
        ("[attack]", "[attack", "cannot be read"),
        ("times = [0.5, 1.0,", "times = [1.0, 0.5,", "times are"),
        ("times = [0.5, 1.0,", "times = [0.5,", "times are"),
        ("attack_seeds = [0, 1, 2]", "attack_seeds = []", "attack_seeds is"),
        ("subjects = [0, 1]", "subjects = [0]", "with one subject"),
        ("subjects = [0, 1]", "subjects = 3", "subjects is 3"),
        ("images_per_prompt = 16", 'images_per_prompt = "16"', 'images_per_prompt is "16"'),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, wrong: str, said: str) -> None:
    text = FROZEN.read_text()
    assert line in text
    (tmp_path / "scenario.toml").write_text(text.replace(line, wrong))
    with pytest.raises(InputError, match=said):
        read_scenario(tmp_path / "scenario.toml")
