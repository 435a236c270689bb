"""Random changes of training pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from apdm.personalizers import custom_diffusion
from apdm.personalizers.augmentation import cut, random_crop, random_flip
from apdm.personalizers.base import Material, Personalizer
from apdm.personalizers.custom_diffusion import CustomDiffusion
from apdm.personalizers.dreambooth import DreamBooth
from apdm.personalizers.lora import LoRA
from apdm.personalizers.textual_inversion import TextualInversion
from apdm.seeding import generator

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion


def test_half_of_all_pictures_are_mirrored() -> None:
    ramp, draws = torch.arange(4.0).expand(1, 3, 4, 4), generator(0)
    flipped = [random_flip(ramp, draws)[0, 0, 0, 0].item() for _ in range(400)]
    assert set(flipped) == {0.0, 3.0}
    assert 160 < flipped.count(3.0) < 240


def test_a_crop_keeps_its_share_and_the_side() -> None:
    """Of a ramp the slope tells how much was kept; the least share may round to nothing but never is."""
    ramp, draws = torch.linspace(-1, 1, 20).expand(1, 3, 20, 20), generator(0)
    kept = [random_crop(ramp, 0.5, draws) for _ in range(60)]
    spans = [(it[0, 0, 10, -1] - it[0, 0, 10, 0]).item() / 2 for it in kept]
    assert all(it.shape == ramp.shape for it in kept)
    assert 0.4 < min(spans) < 0.6
    assert max(spans) > 0.9
    assert all(random_crop(ramp, 1e-3, draws).isfinite().all() for _ in range(60))


def test_a_cut_may_lie_anywhere() -> None:
    numbers, draws = torch.arange(20.0).view(1, 1, 4, 5).expand(1, 3, 4, 5), generator(0)
    first = {cut(numbers, 3, draws)[0, 0, 0, 0].item() for _ in range(200)}
    assert first == {5 * top + left for top in range(2) for left in range(3)}


def shown_in(attack: Personalizer, tiny: StableDiffusion, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Three pictures of the subject, three of the class, and all that the attack encodes in eight steps."""
    model, shown = tiny.copy(), []
    attack.attach(model)
    pictures = torch.rand(6, 3, 16, 16, generator=generator(0)) * 2 - 1
    subject = model.encode(pictures[:3], f"a photo of {attack.placeholder_token or 'sks'} dog")
    material, encode = Material(subject, model.encode(pictures[3:], "a photo of dog")), model.encode_images
    monkeypatch.setattr(custom_diffusion, "rescaled", lambda it, _: (it, torch.ones(1, 1, 16, 16), ""))
    monkeypatch.setattr(model, "encode_images", lambda pixels: (shown.append(pixels), encode(pixels))[1])
    for step in range(8):
        attack.loss(model, material, generator(step))
    return [pictures[:3], pictures[3:], torch.cat(shown) if shown else torch.empty(0)]


def share(seen: Tensor, known: Tensor) -> float:
    return sum(any(torch.equal(one, it) for it in known) for one in seen) / len(seen)


@pytest.mark.parametrize(
    "attack",
    [
        DreamBooth(random_flip=True),
        LoRA(random_flip=True),
        CustomDiffusion(initializer_token="cat"),
        TextualInversion(initializer_token="cat"),
    ],
    ids=lambda attack: type(attack).__name__,
)
def test_an_attack_mirrors_subject_and_class_now_and_then(attack, tiny, monkeypatch) -> None:
    subject, of_class, seen = shown_in(attack, tiny, monkeypatch)
    straight, mirrored = [subject, of_class], [subject.flip(3), of_class.flip(3)]
    if not attack.uses_class_images:
        straight, mirrored = straight[:1], mirrored[:1]
    assert share(seen, torch.cat([*straight, *mirrored])) == 1
    assert all(share(seen, known) > 0.05 for known in (*straight, *mirrored))


def test_an_attack_that_crops_shows_no_picture_as_it_is(tiny, monkeypatch) -> None:
    *known, seen = shown_in(DreamBooth(random_crop=0.5), tiny, monkeypatch)
    assert seen.shape == (16, 3, 16, 16)
    assert share(seen, torch.cat(known)) < 0.5


def test_an_attack_that_changes_no_picture_encodes_none(tiny, monkeypatch) -> None:
    assert len(shown_in(DreamBooth(), tiny, monkeypatch)[2]) == 0
