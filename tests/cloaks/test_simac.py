"""SimAC: times that matter, and features that have a gradient."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from apdm.backbones.tiny import tiny_sd3, tiny_stable_diffusion
from apdm.cloaks import simac
from apdm.cloaks.base import CloakMaterial
from apdm.cloaks.objective import sample, sample_error
from apdm.cloaks.simac import SimAC, distance, without
from apdm.errors import InputError
from apdm.personalizers.dreambooth import DreamBooth
from apdm.seeding import generator
from apdm.watch import silent

ALL = torch.arange(1000)


def test_the_defaults_are_published() -> None:
    cloak = SimAC()
    assert (cloak.budget.grey_levels, cloak.step_size.grey_levels) == pytest.approx((8, 0.6375))
    assert (cloak.steps, cloak.rounds, cloak.candidates) == (6, 50, 5)
    assert (cloak.window, cloak.kept_times, cloak.selection_rounds) == (20, 100, 50)
    assert isinstance(cloak.surrogate, DreamBooth)
    assert (cloak.surrogate.learning_rate, cloak.surrogate.max_train_steps) == (5e-7, 3)


@pytest.mark.parametrize(
    ("worst", "gone"), [(500, (480, 520)), (3, (0, 40)), (0, (0, 40)), (999, (960, 1000))]
)
def test_a_window_around_the_worst_time_goes(worst: int, gone: tuple[int, int]) -> None:
    left = without(ALL, worst, 20, 1000).tolist()
    assert left == [t for t in range(1000) if not gone[0] <= t < gone[1]]


@pytest.fixture
def by_time(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor]]:
    """A picture is moved the more the later the time; remembers what was asked for."""
    asked: list[tuple[Tensor, Tensor]] = []

    def slopes(self, backbone, picture, condition, times, draws):
        asked.append((picture.clone(), times))
        return times.view(-1, 1, 1, 1) * torch.ones(len(times), 3, 16, 16)

    monkeypatch.setattr(SimAC, "_slopes", slopes)
    return asked


def test_the_times_that_move_a_picture_least_go(tiny, material: CloakMaterial, by_time: list) -> None:
    cloak = SimAC()
    photo = material.pixels[:1]
    kept = cloak.informative_times(tiny, photo, tiny.encode_prompts(["a"]), 0)
    left = ALL
    for number, (picture, times) in enumerate(by_time):
        assert len(times) == 5
        assert set(times.tolist()) <= set(left.tolist())
        left = without(left, int(times.min()), 20, 1000)
        climb = (number + 1) * cloak.step_size.in_pixels  # every slope points up
        ball = (photo + min(climb - cloak.step_size.in_pixels, cloak.budget.in_pixels)).clamp(max=1)
        assert_close(picture, ball)
    assert kept.tolist() == left.tolist()
    assert 60 < len(kept) <= 100
    assert kept.float().mean() > 800


def test_the_picture_climbs_at_the_time_that_moves_it_most(
    tiny, material: CloakMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def slopes(self, backbone, picture, condition, times, draws):
        """Only the latest time points up; it is also the strongest."""
        asked.append(picture.clone())
        ones = torch.ones(len(times), 3, 16, 16)
        return torch.where((times == times.max()).view(-1, 1, 1, 1), 2 * ones, -ones)

    monkeypatch.setattr(SimAC, "_slopes", slopes)
    SimAC(selection_rounds=2).informative_times(
        tiny, material.pixels[:1] * 0.5, tiny.encode_prompts(["a"]), 0
    )
    assert (asked[1] > asked[0]).all()


@pytest.mark.parametrize(
    "settings",
    [
        {"selection_rounds": 3},
        {"kept_times": 1, "window": 400},
        {"kept_times": 1000},
        {"selection_rounds": 0},
    ],
)
def test_no_picture_is_left_without_a_time(settings: dict, tiny, material: CloakMaterial, by_time) -> None:
    """In the released code a picture that keeps too many at the last round gets no list at all."""
    chosen = SimAC(**settings).choose_times(tiny, material, 0, silent)
    assert len(chosen) == len(material.pixels)
    assert all(len(times) > 0 for times in chosen)
    assert all(set(times.tolist()) <= set(range(1000)) for times in chosen)


def test_each_picture_has_a_choice_of_its_own(tiny, material: CloakMaterial, heard) -> None:
    first, second = SimAC(selection_rounds=3).choose_times(tiny, material, 0, heard)
    assert first.tolist() != second.tolist()
    assert heard.steps == [("times", done, 2) for done in (0, 1, 2)]


def test_slopes_are_of_each_time_alone(tiny, material: CloakMaterial) -> None:
    condition, times = tiny.encode_prompts([material.instance_prompt]), torch.tensor([10, 900])
    photo = material.pixels[:1]
    slopes = SimAC()._slopes(tiny, photo, condition, times, generator(3))
    copies = photo.repeat(2, 1, 1, 1).requires_grad_()
    errors = sample_error(tiny, sample(tiny, copies, generator(3), times), condition)
    for row in range(2):
        (expected,) = torch.autograd.grad(errors[row].mean(), copies, retain_graph=True)
        assert_close(slopes[row], expected[row])


def moved(material: CloakMaterial) -> Tensor:
    return (material.pixels + 0.2).clamp(-1, 1).requires_grad_()


TIMES = [torch.tensor([700, 710]), torch.tensor([20, 30])]


def test_the_feature_term_has_a_gradient(tiny, material: CloakMaterial) -> None:
    """In the released code it is added as a number."""
    leaf = moved(material)
    slopes, heights = [], []
    for weight in (0.0, 1.0, 3.0):
        objective = SimAC(feature_weight=weight).interference(tiny, material, TIMES)
        heights.append(objective(leaf, generator(3)))
        slopes.append(torch.autograd.grad(heights[-1], leaf)[0])
    share = slopes[1] - slopes[0]
    assert heights[1] > heights[0]
    assert (share.abs().sum((1, 2, 3)) > 0).all()
    assert_close(slopes[2] - slopes[0], 3 * share, rtol=1e-3, atol=1e-8)


def test_features_are_compared_with_the_originals_under_the_same_draws(tiny, material: CloakMaterial) -> None:
    """So that they do not differ where the picture does not; the released code compares with where the
    climb began."""
    plain, with_features = (
        SimAC(feature_weight=weight).interference(tiny, material, TIMES) for weight in (0.0, 1e3)
    )
    assert with_features(material.pixels, generator(3)) == plain(material.pixels, generator(3))
    other = replace(material, pixels=moved(material).detach())
    objective = SimAC(feature_weight=1e3).interference(tiny, other, TIMES)
    assert objective(other.pixels, generator(3)) == plain(other.pixels, generator(3))


def test_a_pictures_times_are_drawn_from_its_own(
    tiny, material: CloakMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def spy(backbone, pictures, draws, t=None):
        drawn.append(t.tolist())
        return sample(backbone, pictures, draws, t)

    monkeypatch.setattr(simac, "sample", spy)
    objective = SimAC().interference(tiny, material, TIMES)
    for seed in range(12):
        objective(material.pixels, generator(seed))
    assert drawn[::2] == drawn[1::2]  # picture and original alike
    for row in range(2):
        assert {times[row] for times in drawn} == set(TIMES[row].tolist())


def test_the_distance_of_features_is_a_mean_a_layer() -> None:
    mine = [torch.zeros(2, 1, 2, 2), torch.zeros(2, 4, 1, 1)]
    other = [torch.full((2, 1, 2, 2), 2.0), torch.full((2, 4, 1, 1), 3.0)]
    assert distance(mine, other) == 4 + 9


def test_continuous_time_and_networks_without_blocks_are_refused_first(
    material: CloakMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simac, "alternating", None)
    monkeypatch.setattr(SimAC, "_slopes", None)
    model = tiny_stable_diffusion()
    model.schedule = object()  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(InputError, match="time is continuous"):
        SimAC()(model, material, 0)
    with pytest.raises(InputError, match="no residual up blocks"):
        SimAC()(tiny_sd3(with_t5=False), material, 0)
