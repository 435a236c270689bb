"""Grids of samples on the way: what the model at that step draws, and nothing is changed by looking."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from apdm.backbones.base import Sampling
from apdm.backbones.load import load
from apdm.cli.main import main
from apdm.cli.samples import Samples, Validation, wearing
from apdm.errors import InputError
from apdm.pixels import from_image, grid, quantised, read
from apdm.seeding import derive
from apdm.steps import PROTECTED

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion

PROMPT = "a photo of dog"
SHORT = Sampling(num_inference_steps=1)
FLAGS = ["--validation_prompt", PROMPT, "--num_validation_images", "2", "--num_inference_steps", "1"]
FAST = ["--num_class_images", "1", "--seed", "3"]


@pytest.fixture(scope="module")
def subject(tiny: StableDiffusion, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A model and a subject, as a command takes them."""
    folder = tmp_path_factory.mktemp("subject")
    tiny.save(folder / "model")
    render = ["toybox", "render", "--class_noun", "dog", "--seed", "500001", "--views", "3"]
    main([*render, "--output_dir", str(folder / "dog")])
    return [str(folder / "model"), "--subject", str(folder / "dog"), "--class_noun", "dog"]


def expected(model: str | Path) -> Tensor:
    """The grid of `model` as 8 bits have it."""
    seeds = [derive(3, "validation", number) for number in range(2)]
    return quantised(grid(load(str(model)).generate([PROMPT] * 2, seeds, SHORT), columns=2))


def drawn(folder: Path, step: int) -> Tensor:
    return from_image(read(folder / "samples" / f"step_{step:05d}.png").image)


@pytest.mark.parametrize(
    ("command", "steps"),
    [
        (["protect", "--outer_steps", "3", "--inner_steps", "1", "--learning_rate", "1e-2"], [0, 2, 3]),
        (["protect", "--method", "imma", "--max_train_steps", "4", "--learning_rate", "1e-2"], [0, 2, 4]),
        (["personalize", "--max_train_steps", "3", "--learning_rate", "1e-2"], [0, 2, 3]),
    ],
)
def test_a_grid_at_the_start_on_the_way_and_at_the_end(
    subject: list[str], tmp_path: Path, command: list[str], steps: list[int]
) -> None:
    verb, *settings = command
    run = [verb, *subject, *settings, *FAST, *FLAGS, "--validation_steps", "2"]
    main([*run, "--output_dir", str(tmp_path / "out")])
    found = sorted(path.name for path in (tmp_path / "out" / "samples").iterdir())
    assert found == [f"step_{step:05d}.png" for step in steps]
    assert torch.equal(drawn(tmp_path / "out", 0), expected(subject[0]))
    assert torch.equal(drawn(tmp_path / "out", steps[-1]), expected(tmp_path / "out"))
    grids = [drawn(tmp_path / "out", step) for step in steps]
    assert not torch.equal(grids[0], grids[1])
    assert not torch.equal(grids[1], grids[2])
    main([*run, "--validation_prompt", "None", "--output_dir", str(tmp_path / "unseen")])
    one, other = (folder / "unet/diffusion_pytorch_model.safetensors" for folder in tmp_path.iterdir())
    assert one.read_bytes() == other.read_bytes()
    assert not (tmp_path / "unseen" / "samples").exists()


def test_without_a_prompt_nothing_is_drawn(tmp_path: Path) -> None:
    assert Samples(Validation(), 0, SHORT, tmp_path).due(300) == []
    assert Samples(Validation(PROMPT), 0, SHORT, tmp_path).due(300) == [0, 100, 200, 300]
    assert Samples(Validation(PROMPT), 0, SHORT, tmp_path).due(50) == [0, 50]
    with pytest.raises(InputError, match="validation_steps is 0: give 1 or more"):
        Validation(validation_steps=0)
    with pytest.raises(InputError, match="prompt"):
        Validation("")


def test_looking_at_weights_leaves_both_as_they_were(tiny: StableDiffusion) -> None:
    name, weight = next(iter(tiny.weights().items()))
    before, other = weight.clone(), torch.zeros_like(weight, requires_grad=True)

    def look() -> None:
        with wearing(tiny, {name: other}):
            assert not tiny.weights()[name].any()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look()
    assert torch.equal(tiny.weights()[name], before)
    assert tiny.weights()[name] is weight


def test_a_run_that_goes_on_draws_the_start_no_second_time(
    tiny: StableDiffusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []
    monkeypatch.setattr(Samples, "draw", lambda self, model, step: heard.append(step))
    samples = Samples(Validation(PROMPT, 2), 0, SHORT, tmp_path)
    steps = samples.along(lambda total, state: range(3, total), tiny)
    assert list(steps(6, {PROTECTED: {}})) == [3, 4, 5]
    assert heard == [4, 6]
