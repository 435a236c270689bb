"""GrIDPure: which crops, how they merge, and what diffusion makes of one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from apdm.backbones.base import Backbone, Condition, Moments
from apdm.backbones.tiny import tiny_sdxl
from apdm.errors import InputError
from apdm.pixels import quantised
from apdm.purify import gridpure
from apdm.purify.gridpure import GridPure, crops, merge
from apdm.schedules import DDPMSchedule
from apdm.seeding import generator
from apdm.types import Pixels

KEPT = torch.linspace(0.95, 0.05, 20)


class Believer(Backbone):
    """A model of pixels that takes every picture for one of a single grey, and notes the times."""

    def __init__(self, belief: float) -> None:
        self.network = nn.Linear(1, 1).requires_grad_(False)
        self.schedule = DDPMSchedule(KEPT)
        self.belief, self.times, self.prompts, self.spreads = belief, [], [], []

    def encode_images(self, pixels: Tensor) -> Moments:
        return Moments(pixels, torch.zeros_like(pixels))

    def decode_images(self, latents: Tensor) -> Tensor:
        return latents.clamp(-1, 1)

    def encode_prompts(self, prompts) -> Condition:
        self.prompts.extend(prompts)
        return Condition({"text": torch.zeros(len(prompts), 1)})

    def predict(self, noisy: Tensor, t: Tensor, condition: Condition) -> Tensor:
        assert len(noisy) == len(t) == len(condition)
        self.times.append(t.unique().tolist())
        self.spreads.append(noisy.std().item())
        kept = KEPT[t].view(-1, 1, 1, 1)
        return (noisy - kept.sqrt() * self.belief) / (1 - kept).sqrt()

    def generate(self, prompts, seeds, sampling, watch=None): ...
    def copy(self): ...
    def save(self, folder): ...
    def save_adapters(self, folder): ...


def test_nine_crops_overlap_by_half_and_a_montage_holds_the_corners() -> None:
    picture = torch.arange(64.0).view(1, 1, 8, 8).expand(1, 3, 8, 8)
    pieces = crops(picture)
    assert pieces.shape == (10, 3, 4, 4)
    first_pixels = pieces[:9, 0, 0, 0].tolist()
    assert first_pixels == [8 * row + column for row in (0, 2, 4) for column in (0, 2, 4)]
    corners = [picture[0, 0, row, column] for row in (0, 7) for column in (0, 7)]
    assert [pieces[9, 0, row, column] for row in (0, 3) for column in (0, 3)] == corners


def test_merging_undoes_cropping(photos: Pixels) -> None:
    assert_close(merge(crops(photos[:1])), photos[:1])


def test_overlaps_are_averaged() -> None:
    pieces = torch.zeros(10, 3, 4, 4)
    pieces[4] = 1.0  # the middle crop
    pieces[9] = 8.0  # the montage
    merged = merge(pieces)[0, 0]
    assert merged[0, 0] == 4  # a corner: one crop and the montage
    assert merged[0, 3] == 0  # an edge: two crops
    assert merged[3, 3] == 0.25  # the middle: four crops


def test_a_crop_ends_at_what_the_model_takes_it_for() -> None:
    model = Believer(0.3)
    pieces = torch.full((2, 3, 4, 4), -0.8)
    made = GridPure(time=4).diffused(model, pieces, generator(0))
    assert_close(made, torch.full_like(made, 0.3))
    assert model.times == [[3], [2], [1], [0]]
    assert model.prompts == [""]


def test_a_crop_hears_what_the_family_means_by_no_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of SDXL zeros, which is not what it makes of an empty prompt."""
    model, heard = tiny_sdxl(), []
    monkeypatch.setattr(
        model, "predict", lambda noisy, t, condition: (heard.append(condition), torch.zeros_like(noisy))[1]
    )
    GridPure(time=1).diffused(model, torch.zeros(2, 3, 8, 8), generator(0))
    assert len(heard[0]) == 2
    assert not any(part.any() for part in heard[0].parts.values())
    assert all(part.any() for part in model.encode_prompts([""]).parts.values())


def test_a_crop_is_noised_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """To t* steps, which is time t* - 1, so that nothing of a cloak's size stays visible."""
    seen, model = [], Believer(0.0)
    add_noise = DDPMSchedule.add_noise

    def spy(self, clean, noise, t):
        seen.append((noise.std().item(), t.unique().tolist()))
        return add_noise(self, clean, noise, t)

    monkeypatch.setattr(DDPMSchedule, "add_noise", spy)
    GridPure(time=4).diffused(model, torch.zeros(2, 3, 16, 16), generator(0))
    assert seen == [(pytest.approx(1, abs=0.1), [3])]


def test_a_step_back_draws_the_noise_that_its_time_has() -> None:
    """Ancestral: of a picture that is all zeros the spread at time t is sqrt(1 - a_t), at every time."""
    model = Believer(0.0)
    GridPure(time=6).diffused(model, torch.zeros(2, 3, 32, 32), generator(0))
    assert model.spreads == pytest.approx((1 - KEPT[:6]).sqrt().flip(0).tolist(), rel=0.05)


def test_each_iteration_mixes_in_a_tenth_and_keeps_eight_bits(photos: Pixels) -> None:
    purified = GridPure(time=2, iterations=2)(photos, 0, Believer(0.3))
    expected = photos
    for _ in range(2):
        expected = quantised(torch.full_like(photos, 0.9 * 0.3) + 0.1 * expected)
    assert_close(purified, expected, rtol=0, atol=2 / 255 + 1e-6)
    assert torch.equal(purified, quantised(purified))


def test_each_picture_and_iteration_has_noise_of_its_own(
    photos: Pixels, monkeypatch: pytest.MonkeyPatch, heard
) -> None:
    seeds = []

    def spy(self, backbone, pieces, draws):
        seeds.append(draws.initial_seed())
        return pieces

    monkeypatch.setattr(gridpure.GridPure, "diffused", spy)
    kept = GridPure(iterations=2)(photos, 0, Believer(0.0), heard)
    assert_close(kept, photos)
    assert len(set(seeds)) == 6
    assert heard.steps == [("purify", done, 3) for done in range(4)]


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"time": 0}, "time is 0"), ({"iterations": 0}, "iterations is 0"), ({"mixing": 1.0}, "mixing is 1")],
)
def test_settings_without_meaning_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        GridPure(**settings)


def test_what_it_cannot_work_on_is_refused(photos: Pixels) -> None:
    model = Believer(0.0)
    for pixels, backbone, said in (
        (photos, None, "needs a model"),
        (photos[:, :, :12], model, "sides 12 x 16"),
        (photos[:, :, :14, :14], model, "sides 14 x 14"),
    ):
        with pytest.raises(InputError, match=said):
            GridPure()(pixels, 0, backbone)
    model.decode_images = lambda latents: latents[..., :-1, :-1]
    with pytest.raises(InputError, match="crops of 8 pixels are no whole latents"):
        GridPure()(photos, 0, model)
    with pytest.raises(InputError, match="time is 21"):
        GridPure(time=21)(photos, 0, model)
