"""LoRA's factors and learnt words: put on a model they draw what the attacked model draws."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from functools import reduce
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from apdm.backbones.adapters import FACTORS, check_adapter, put_on
from apdm.backbones.base import Sampling
from apdm.backbones.load import load, locate
from apdm.backbones.pipeline import PipelineBackbone
from apdm.backbones.tiny import tiny_sd3, tiny_sdxl, tiny_stable_diffusion
from apdm.errors import InputError
from apdm.personalizers.base import Material, Personalizer, personalize
from apdm.personalizers.lora import LoRA
from apdm.personalizers.textual_inversion import TextualInversion
from apdm.seeding import generator

PROMPT = "a photo of <new1> dog"
ROW = torch.zeros(1, 32)
SAMPLING = Sampling(num_inference_steps=2, guidance_scale=3.0)
ATTACKS = {
    "lora": LoRA(learning_rate=1e-2, max_train_steps=3, train_batch_size=2),
    "one word": TextualInversion(learning_rate=1.0, max_train_steps=2, train_batch_size=2),
    "a word of two tokens": TextualInversion(learning_rate=1.0, max_train_steps=2, num_vectors=2),
}


def save_attack(name: str, model: PipelineBackbone, folder: Path) -> None:
    attack, images = ATTACKS[name], model.encode(torch.zeros(1, 3, 16, 16), PROMPT)
    attack.save(personalize(model, attack, Material(images, None), 0), folder)


def rename(file: Path, *changes: tuple[str, str]) -> None:
    """Replaces parts of the names of what the file holds."""
    weights = load_file(file)
    save_file({reduce(lambda name, it: name.replace(*it), changes, n): w for n, w in weights.items()}, file)


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


@pytest.mark.parametrize("attack", ATTACKS)
def test_that_of_another_family_is_refused(attack: str, tiny, tmp_path: Path) -> None:
    save_attack(attack, tiny, tmp_path)
    with pytest.raises(InputError, match="does not fit the model"):
        put_on(tiny_sd3(), tmp_path)
    with pytest.raises(InputError, match="holds an adapter, not a model"):
        locate(str(tmp_path))


def test_a_lora_that_fits_in_part_is_refused(tiny, tmp_path: Path) -> None:
    save_attack("lora", tiny, tmp_path)
    put_on(tiny_stable_diffusion(), tmp_path)
    rename(tmp_path / FACTORS, ("down_blocks.0", "down_blocks.7"))
    with pytest.raises(InputError, match=r"of its 32 layers the model has 24"):
        put_on(tiny_stable_diffusion(), tmp_path)


@pytest.mark.parametrize(("make", "fits"), [(tiny_stable_diffusion, True), (tiny_sdxl, False)])
def test_nothing_but_the_one_line_is_said(
    make, fits: bool, tiny, tmp_path: Path, caplog, recwarn, monkeypatch
) -> None:
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    save_attack("lora", tiny, tmp_path)
    with nullcontext() if fits else pytest.raises(InputError, match=r"size mismatch.*: give the model it"):
        put_on(make(), tmp_path)
    assert not caplog.records
    assert not recwarn.list


def test_a_lora_under_the_names_of_others_is_put_on(tiny, tmp_path: Path) -> None:
    save_attack("lora", tiny, tmp_path)
    ours, theirs = tiny_stable_diffusion(), tiny_stable_diffusion()
    put_on(ours, tmp_path)
    weights = ("_lora_A_weight", ".lora_down.weight"), ("_lora_B_weight", ".lora_up.weight")
    rename(tmp_path / FACTORS, (".", "_"), *weights, ("unet_", "lora_unet_"))  # as kohya's scripts have them
    put_on(theirs, tmp_path)
    one, other = (model.generate([PROMPT], [5], SAMPLING) for model in (ours, theirs))
    assert torch.equal(one, other)


def test_both_in_one_folder_are_put_on(tmp_path: Path) -> None:
    model = tiny_stable_diffusion()
    for attack in ("lora", "one word"):
        save_attack(attack, model, tmp_path)
    put_on(model, tmp_path)
    assert model.pipeline.get_list_adapters()
    assert "<new1>" in model.text["tokenizer"].get_vocab()


def test_rows_of_a_single_token_are_read_in_either_shape(tmp_path: Path) -> None:
    rows = torch.rand(32, generator=generator(2))
    models = [tiny_stable_diffusion(), tiny_stable_diffusion()]
    for model, stored in zip(models, (rows, rows[None]), strict=True):
        save_file({"<new1>": stored}, tmp_path / "learned_embeds.safetensors")
        put_on(model, tmp_path)
        assert_close(model.text["text_encoder"].get_input_embeddings().rows.detach(), rows[None])


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ({"<new1>": torch.zeros(2, 1)}, "has 2 x 1 numbers, and the model takes 2 x 32"),
        ({"dog": torch.zeros(1, 32)}, r"the model knows the word 'dog' already\): give the model"),
    ],
)
def test_rows_that_do_not_fit_are_refused(stored, said: str, tmp_path: Path) -> None:
    save_file(stored, tmp_path / "learned_embeds.safetensors")
    with pytest.raises(InputError, match=said):
        put_on(tiny_stable_diffusion(), tmp_path)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "is no folder with pytorch_lora_weights.safetensors or learned_embeds.safetensors"),
        ({"lora.bin": {}}, "pickles are refused"),
        ({"model_index.json": {}}, "holds a model, not an adapter"),
        ({FACTORS: None}, "is damaged"),
        ({FACTORS: {"unet.lora": ROW}}, "holds no factors of a LoRA"),
        ({"learned_embeds.safetensors": None}, "is damaged"),
        ({"learned_embeds.safetensors": {}}, "holds nothing where one learnt word"),
        (
            {"learned_embeds.safetensors": {"<a>": ROW, "<b>": ROW.clone()}},
            "holds <a>, <b> where one learnt word",
        ),
        ({"learned_embeds.safetensors": {"<a>": ROW}, "learned_embeds_2.safetensors": {}}, "holds <a> where"),
        ({"learned_embeds.safetensors": {"emb_params": ROW}}, "holds emb_params where one learnt word"),
        ({"learned_embeds.safetensors": {"<new2>": ROW}}, "no prompt says '<new2>'"),
        (
            {"learned_embeds.safetensors": {"<a>": ROW}, "learned_embeds_2.safetensors": {"<b>": ROW}},
            "holds <a>, <b> where one learnt word",
        ),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_without_a_model(files, said: str, tmp_path: Path) -> None:
    for name, stored in files.items():
        save_file(stored or {}, tmp_path / name)
        if stored is None:
            (tmp_path / name).write_text("<html>")
    with pytest.raises(InputError, match=said):
        check_adapter(tmp_path, [PROMPT])


def test_a_word_that_one_of_the_prompts_says_will_do(tmp_path: Path) -> None:
    save_file({"<new1>": ROW}, tmp_path / "learned_embeds.safetensors")
    without, with_it = "a photo of a dog", "a <new1>, in the snow"
    check_adapter(tmp_path, [without, with_it])
    with pytest.raises(InputError, match="no prompt says '<new1>'"):
        check_adapter(tmp_path, [without])


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    save_file({"lora_unet_x.lora_down.weight": ROW}, tmp_path / "kohya.safetensors")
    with pytest.raises(InputError, match=r"kohya\.safetensors' is no folder with"):
        check_adapter(tmp_path / "kohya.safetensors", [PROMPT])


def test_a_word_of_several_tokens_has_small_letters(tmp_path: Path) -> None:
    """Only its first token would be heard."""
    save_file({"V*": ROW.repeat(2, 1)}, tmp_path / "learned_embeds.safetensors")
    with pytest.raises(InputError, match=r"the word 'V\*' of several tokens, .*: call it so in its files"):
        check_adapter(tmp_path, ["a photo of V* dog"])
    save_file({"V*": ROW}, tmp_path / "learned_embeds.safetensors")
    check_adapter(tmp_path, ["a photo of V* dog"])
