"""LoRA's factors and learnt words: put on a model they draw what the attacked model draws."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from apdm.backbones.adapters import check_adapter, put_on
from apdm.backbones.base import Sampling
from apdm.backbones.load import load, locate
from apdm.backbones.tiny import tiny_sd3, tiny_sdxl
from apdm.errors import InputError
from apdm.personalizers.base import Material, Personalizer, personalize
from apdm.personalizers.lora import LoRA
from apdm.personalizers.textual_inversion import TextualInversion
from apdm.seeding import generator

PROMPT = "a photo of <new1> dog"
SAMPLING = Sampling(num_inference_steps=2, guidance_scale=3.0)
ATTACKS = {
    "lora": LoRA(learning_rate=1e-2, max_train_steps=3, train_batch_size=2),
    "one word": TextualInversion(learning_rate=1.0, max_train_steps=2, train_batch_size=2),
    "a word of two tokens": TextualInversion(learning_rate=1.0, max_train_steps=2, num_vectors=2),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize("make", [tiny_sdxl, tiny_sd3])  # of two text encoders that learn words
def test_an_adapter_draws_what_the_attacked_model_draws(make, attack: Personalizer, tmp_path: Path) -> None:
    model = make()
    pixels = torch.rand(2, 3, 16, 16, generator=generator(1)) * 2 - 1
    attacked = personalize(model, attack, Material(model.encode(pixels, PROMPT), None), 0)
    attack.save(attacked, tmp_path / "adapter")
    model.save(tmp_path / "model")
    loaded = load(str(tmp_path / "model"))
    without = loaded.generate([PROMPT], [5], SAMPLING)
    put_on(loaded, tmp_path / "adapter")
    drawn, ours = loaded.generate([PROMPT], [5], SAMPLING), attacked.generate([PROMPT], [5], SAMPLING)
    assert_close(drawn, ours, rtol=0, atol=4e-3)
    assert (drawn - without).abs().max() > 10 * (drawn - ours).abs().max()


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_that_of_another_family_is_refused(attack: Personalizer, tiny, tmp_path: Path) -> None:
    images = tiny.encode(torch.zeros(1, 3, 16, 16), PROMPT)
    attack.save(personalize(tiny, attack, Material(images, None), 0), tmp_path)
    with pytest.raises(InputError, match="does not fit the model"):
        put_on(tiny_sd3(), tmp_path)
    with pytest.raises(InputError, match="holds an adapter, not a model"):
        locate(str(tmp_path))


def test_a_folder_without_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no LoRA and no learnt word"):
        check_adapter(tmp_path)
