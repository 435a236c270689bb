"""The original code's names, judged by diffusers' own reader: on tiny models bit by bit, on the full ones
by name and shape, and by names that are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from apdm.backbones import original
from apdm.backbones.single_file import CONFIGS, LAYOUTS
from apdm.backbones.tiny import FAMILIES

State = dict[str, Tensor]


def full(layout: str, part: str) -> Any:
    """A part in its published size, without memory."""
    folder = CONFIGS / layout / part
    with torch.device("meta"):
        if part == "unet":
            return UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder))
        if part == "vae":
            return AutoencoderKL.from_config(AutoencoderKL.load_config(folder))
        kind = CLIPTextModelWithProjection if part == "text_encoder_2" else CLIPTextModel
        return kind(CLIPTextConfig.from_pretrained(folder))


def parts(layout: str) -> list[str]:
    return ["unet", "vae", *LAYOUTS[layout].texts]


def there_and_back(layout: str, part: str, network: Any) -> State:
    """Our names, read by diffusers."""
    if part == "unet":
        state = {f"model.diffusion_model.{k}": v for k, v in original.unet(network).items()}
        return convert_ldm_unet_checkpoint(state, network.config)
    if part == "vae":
        state = {f"first_stage_model.{k}": v for k, v in original.vae(network).items()}
        return convert_ldm_vae_checkpoint(state, network.config)
    prefix, names = LAYOUTS[layout].texts[part]
    state = {f"{prefix}{k}": v for k, v in names(network).items()}
    if names is original.clip:
        return convert_ldm_clip_checkpoint(state)
    return convert_open_clip_checkpoint(network, state, prefix)


def bare(state: State) -> State:
    return {name.removeprefix("text_model."): weight for name, weight in state.items()}


CASES = [(layout, part) for layout in LAYOUTS for part in parts(layout)]


@pytest.mark.parametrize(("layout", "part"), CASES)
def test_diffusers_reads_back_every_bit_of_a_tiny_model(layout: str, part: str) -> None:
    network = getattr(FAMILIES[layout]().pipeline, part)
    draws = torch.Generator().manual_seed(0)
    for weight in network.parameters():  # norms and biases begin alike
        nn.init.normal_(weight, generator=draws)
    expected, found = bare(network.state_dict()), bare(there_and_back(layout, part, network))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(("layout", "part"), CASES)
def test_diffusers_reads_back_every_name_of_a_full_model(layout: str, part: str) -> None:
    network = full(layout, part)
    shapes = {name: weight.shape for name, weight in bare(network.state_dict()).items()}
    found = {name: weight.shape for name, weight in bare(there_and_back(layout, part, network)).items()}
    assert found == shapes


COUNTS = {  # of the published files
    ("sd1", "unet"): 686,
    ("sd1", "vae"): 248,
    ("sd1", "text_encoder"): 196,
    ("sdxl", "unet"): 1680,
}
KNOWN = {
    ("sd1", "unet"): (
        "input_blocks.3.0.op.weight",
        "input_blocks.11.0.in_layers.2.weight",
        "middle_block.1.transformer_blocks.0.attn2.to_k.weight",
        "output_blocks.2.1.conv.weight",
        "output_blocks.5.2.conv.weight",
        "output_blocks.11.0.skip_connection.weight",
        "time_embed.2.bias",
        "out.2.weight",
    ),
    ("sd1", "vae"): (
        "decoder.up.3.upsample.conv.weight",
        "encoder.down.0.downsample.conv.weight",
        "decoder.up.0.block.0.nin_shortcut.weight",
        "encoder.mid.attn_1.proj_out.weight",
        "encoder.norm_out.bias",
        "post_quant_conv.weight",
    ),
    ("sd1", "text_encoder"): ("text_model.encoder.layers.11.mlp.fc2.weight",),
    ("sd2", "unet"): ("input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight",),
    ("sd2", "text_encoder"): (
        "transformer.resblocks.22.attn.in_proj_weight",
        "transformer.resblocks.0.mlp.c_fc.bias",
        "positional_embedding",
        "ln_final.weight",
    ),
    ("sdxl", "unet"): ("label_emb.0.2.weight", "input_blocks.8.1.transformer_blocks.9.norm3.weight"),
    ("sdxl", "text_encoder_2"): ("text_projection", "transformer.resblocks.31.ln_2.weight"),
}
RENAMERS = {"unet": original.unet, "vae": original.vae}


@pytest.mark.parametrize(("layout", "part"), KNOWN)
def test_names_are_those_of_published_files(layout: str, part: str) -> None:
    names = RENAMERS.get(part) or LAYOUTS[layout].texts[part][1]
    state = names(full(layout, part))
    assert set(KNOWN[layout, part]) <= state.keys()
    assert len(state) == COUNTS.get((layout, part), len(state))


def test_the_autoencoders_attention_is_a_convolution_of_one_pixel() -> None:
    state = original.vae(full("sd1", "vae"))
    assert state["encoder.mid.attn_1.q.weight"].shape == (512, 512, 1, 1)
    assert state["encoder.mid.attn_1.norm.weight"].shape == (512,)
