"""What APDM learns from: which picture goes where, under which prompt."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from apdm.backbones.base import Sampling
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.errors import InputError
from apdm.protectors.material import ProtectionMaterial, paired_positives, protection_material
from apdm.seeding import derive, generator

INSTANCE, CLASS = "a photo of sks dog", "a photo of dog"


def test_pairs_must_be_complete(numbers: ProtectionMaterial) -> None:
    with pytest.raises(
        InputError, match="3 subject images but 5 paired positives: give one positive for each"
    ):
        ProtectionMaterial(numbers.negatives, numbers.prior, numbers.prior)


def test_the_attack_sees_subject_and_class(numbers: ProtectionMaterial) -> None:
    assert numbers.attack.instance is numbers.negatives
    assert numbers.attack.prior is numbers.prior


def test_positives_are_encoded_under_the_instance_prompt(
    tiny: StableDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = torch.rand(7, 3, 16, 16, generator=generator(0)) * 2 - 1
    seen, encode_prompts = [], tiny.encode_prompts
    monkeypatch.setattr(
        tiny, "encode_prompts", lambda prompts: (seen.extend(prompts), encode_prompts(prompts))[1]
    )
    made = protection_material(tiny, pixels[:2], pixels[2:4], pixels[4:], INSTANCE, CLASS)
    assert seen == ["a photo of sks dog", "a photo of sks dog", "a photo of dog"]
    means = tiny.encode_images(pixels).mean
    assert_close(made.negatives.moments.mean, means[:2])
    assert_close(made.positives.moments.mean, means[2:4])
    assert_close(made.prior.moments.mean, means[4:])
    assert torch.equal(made.positives.condition.parts["text"], made.negatives.condition.parts["text"])


def test_positives_are_pictures_of_the_class_each_from_its_seed(one_weight) -> None:
    model = one_weight()
    images = paired_positives(model, CLASS, 3, 7, Sampling())
    assert model.prompts == [CLASS] * 3
    assert images[:, 0, 0, 0].tolist() == [derive(7, "positive", number) % 1000 for number in range(3)]
