"""What every cloak keeps to, and that each runs on each family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from apdm.backbones.pipeline import PipelineBackbone
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.backbones.tiny import FAMILIES, tiny_stable_diffusion
from apdm.cloaks import objective as objectives
from apdm.cloaks.base import Cloak, CloakMaterial
from apdm.cloaks.budget import Budget
from apdm.cloaks.table import CLOAKS
from apdm.errors import InputError
from apdm.pixels import load, quantised, save_png
from apdm.seeding import derive

HALF_A_LEVEL = 1 / 255 + 1e-6  # of [-1, 1]

Short = Callable[[str], Cloak]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> PipelineBackbone:
    return FAMILIES[request.param]()


def everything(model: PipelineBackbone) -> list[Tensor]:
    parts = model.network, model.pipeline.vae, *model.text_encoders()
    return [weight.clone() for part in parts for weight in part.parameters()]


@pytest.mark.parametrize("name", CLOAKS)
def test_every_cloak_on_every_family(
    name: str, family: PipelineBackbone, material: CloakMaterial, short: Short, tmp_path: Path, heard
) -> None:
    cloak = short(name)
    if name == "simac" and not hasattr(family.network, "up_blocks"):
        with pytest.raises(InputError, match="has no residual up blocks: use a model with a UNet"):
            cloak(family, material, 0)
        return
    before, photos = everything(family), material.pixels.clone()
    cloaked = cloak(family, material, 0, heard)

    change = (cloaked - photos).abs()
    assert (change.amax((1, 2, 3)) > 0).all()
    assert change.max() <= cloak.budget.in_pixels + HALF_A_LEVEL
    assert torch.equal(quantised(cloaked), cloaked)
    assert torch.equal(load(save_png(cloaked, tmp_path, "cloaked"), 16), cloaked)
    assert [done for task, done, _ in heard.steps if task == "cloak"] == [
        *range(cloak.steps * cloak.rounds + 1)
    ]

    assert torch.equal(material.pixels, photos)
    assert all(torch.equal(a, b) for a, b in zip(before, everything(family), strict=True))
    assert not any(weight.requires_grad for weight in family.network.parameters())
    assert torch.equal(cloak(family, material, 0), cloaked)
    assert not torch.equal(cloak(family, material, 1), cloaked)


@pytest.mark.parametrize("name", CLOAKS)
def test_no_step_of_any_cloak_leaves_the_ball(
    name: str, tiny, material: CloakMaterial, short: Short, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With steps larger than the budget, and against two models. Every picture that is encoded while
    something is differentiated is one that a step has made."""
    cloak = replace(short(name), step_size=Budget(0.3, (-1, 1)))
    seen: list[Tensor] = []
    encode = StableDiffusion.encode_images

    def spy(self, pixels: Tensor):
        if pixels.requires_grad:
            seen.append(pixels.detach().clone())
        return encode(self, pixels)

    monkeypatch.setattr(StableDiffusion, "encode_images", spy)
    cloak([tiny, tiny_stable_diffusion(seed=1)], material, 0)
    assert len(seen) >= 2 * cloak.steps * cloak.rounds
    moved = 0
    for pictures in seen:
        photos = material.pixels
        if len(pictures) != len(photos):  # SimAC's candidates: copies of one picture
            distances = [(pictures - photo).abs().max() for photo in photos]
            distance = min(distances)
        else:
            distance = (pictures - photos).abs().max()
        assert distance <= cloak.budget.in_pixels + 1e-6
        assert pictures.abs().max() <= 1
        moved += bool(distance > 0.9 * cloak.budget.in_pixels)
    assert moved > 0  # the border was reached


@pytest.mark.parametrize("name", CLOAKS)
def test_no_method_goes_past_the_call(name: str) -> None:
    assert "__call__" not in vars(CLOAKS[name])
    assert CLOAKS[name].__call__ is Cloak.__call__


@dataclass(frozen=True)
class Given(Cloak):
    """Each model adds the number that it is named by, beyond any budget; notes where rounds begin."""

    budget: Budget = Budget(0.1, (-1, 1))
    step_size: Budget = Budget(0.1, (-1, 1))
    steps: int = 1
    rounds: int = 2
    starts: tuple[list[float], ...] = ([], [])

    def against(self, backbone, material, climb, seed, watch):
        def play(pictures: Tensor, number: int) -> Tensor:
            self.starts[number].append(pictures.mean().item())
            return pictures + float(backbone.name)

        return play


def named(one_weight, *numbers: float) -> list:
    models = [one_weight() for _ in numbers]
    for model, number in zip(models, numbers, strict=True):
        model.name = str(number)
    return models


def flat_material(level: float) -> CloakMaterial:
    pixels = torch.full((1, 3, 2, 2), level)
    return CloakMaterial(pixels, pixels, None, "a", "b")


def test_an_ensembles_rounds_begin_at_the_mean_of_its_pictures(one_weight) -> None:
    cloak = Given(starts=([], []))
    made = cloak(named(one_weight, 0.06, 0.02), flat_material(0.0), 0)
    assert cloak.starts[0] == [0, 0]
    assert cloak.starts[1] == pytest.approx([0.04, 0.04])
    assert made.flatten().tolist() == pytest.approx([0.08] * 12, abs=1 / 255)


@pytest.mark.parametrize(("level", "end"), [(0.0, 0.1), (0.95, 1.0)])
def test_even_a_method_that_leaves_the_ball_ends_inside(one_weight, level: float, end: float) -> None:
    made = Given(starts=([], []))(named(one_weight, 5.0), flat_material(level), 0)
    assert made.flatten().tolist() == pytest.approx([end] * 12, abs=1 / 255)


def test_every_model_of_an_ensemble_has_draws_of_its_own(
    tiny, material: CloakMaterial, short: Short, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two equal models that drew alike would be one."""
    drawn: list[int] = []
    sample = objectives.sample

    def spy(backbone, pictures, draws, t=None):
        drawn.append(draws.initial_seed())
        return sample(backbone, pictures, draws, t)

    monkeypatch.setattr(objectives, "sample", spy)
    cloak = replace(short("advdm"), rounds=2)
    cloak([tiny, tiny], material, 0)
    assert len(set(drawn)) == len(drawn) == 2 * 2 * 3
    models = [derive(0, "model", number) for number in (0, 1)]
    assert drawn[0] == derive(derive(models[0], "round", 0), "climb", 0)
    assert drawn[3] == derive(derive(models[1], "round", 0), "climb", 0)


def test_pictures_of_two_sizes_are_refused(material: CloakMaterial) -> None:
    with pytest.raises(InputError, match="bring all to one size"):
        replace(material, target=torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"rounds": 0}, "rounds is 0"),
        ({"budget": Budget(0.0, (0, 1))}, "value is 0"),
        ({"step_size": Budget(0.0, (0, 1))}, "value is 0"),
    ],
)
def test_settings_without_meaning_are_refused(setting: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        CLOAKS["advdm"](**setting)
