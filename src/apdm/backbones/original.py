"""The original code's names for the weights of SD 1.x, 2.x and XL, from diffusers' names for them.

Diffusers reads these names and does not write them. What is written here is the inverse, and diffusers'
reader is its judge in the tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

State = Mapping[str, Tensor]

UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
UNET_LAYERS = {
    "resnets": {
        "norm1": "in_layers.0",
        "conv1": "in_layers.2",
        "time_emb_proj": "emb_layers.1",
        "norm2": "out_layers.0",
        "conv2": "out_layers.3",
        "conv_shortcut": "skip_connection",
    }
}
VAE_LAYERS = {
    "resnets": {"conv_shortcut": "nin_shortcut"},
    "attentions": {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"},
}
OPEN_CLIP = {
    "embeddings.token_embedding": "token_embedding",
    "embeddings.position_embedding.weight": "positional_embedding",
    "encoder.layers": "transformer.resblocks",
    "final_layer_norm": "ln_final",
    "text_projection.weight": "text_projection",
}
OPEN_CLIP_LAYERS = {
    "layers": {
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
        "self_attn": "attn",
    }
}
QUERY, KEY_AND_VALUE = ".self_attn.q_proj.", ("k_proj", "v_proj")


def unet(network: Any) -> dict[str, Tensor]:
    """The state of a diffusers UNet under `input_blocks`, `middle_block`, `output_blocks`."""
    places, state = UNET | dict(_unet_blocks(network)), network.state_dict()
    return {_moved(_within(name, UNET_LAYERS), places): weight for name, weight in state.items()}


def _unet_blocks(network: Any) -> Iterator[tuple[str, str]]:
    """Its blocks' layers, which the original counts through."""
    place = 1
    for number, block in enumerate(network.down_blocks):
        for layer in range(len(block.resnets)):
            yield f"down_blocks.{number}.resnets.{layer}", f"input_blocks.{place}.0"
            yield f"down_blocks.{number}.attentions.{layer}", f"input_blocks.{place}.1"
            place += 1
        if block.downsamplers:
            yield f"down_blocks.{number}.downsamplers.0.conv", f"input_blocks.{place}.0.op"
            place += 1
    place = 0
    for number, block in enumerate(network.up_blocks):
        for layer in range(len(block.resnets)):
            yield f"up_blocks.{number}.resnets.{layer}", f"output_blocks.{place}.0"
            yield f"up_blocks.{number}.attentions.{layer}", f"output_blocks.{place}.1"
            place += 1
        last = f"output_blocks.{place - 1}.{2 if hasattr(block, 'attentions') else 1}"
        yield f"up_blocks.{number}.upsamplers.0", last


def vae(network: Any) -> dict[str, Tensor]:
    """The state of a diffusers autoencoder under `down`, `mid`, `up`, the latter counted from the picture;
    its attention's projections as convolutions of one pixel."""
    places, state = dict(_vae_blocks(network)), {}
    for name, weight in network.state_dict().items():
        one_pixel = ".attentions." in name and weight.dim() == 2
        there = _moved(_within(name, VAE_LAYERS), places)
        state[there] = weight[..., None, None] if one_pixel else weight
    return state


def _vae_blocks(network: Any) -> Iterator[tuple[str, str]]:
    for number in range(len(network.encoder.down_blocks)):
        yield f"encoder.down_blocks.{number}.resnets", f"encoder.down.{number}.block"
        yield f"encoder.down_blocks.{number}.downsamplers.0", f"encoder.down.{number}.downsample"
    levels = len(network.decoder.up_blocks)
    for number in range(levels):
        yield f"decoder.up_blocks.{number}.resnets", f"decoder.up.{levels - 1 - number}.block"
        yield f"decoder.up_blocks.{number}.upsamplers.0", f"decoder.up.{levels - 1 - number}.upsample"
    for half in ("encoder", "decoder"):
        yield f"{half}.mid_block.resnets.0", f"{half}.mid.block_1"
        yield f"{half}.mid_block.attentions.0", f"{half}.mid.attn_1"
        yield f"{half}.mid_block.resnets.1", f"{half}.mid.block_2"
        yield f"{half}.conv_norm_out", f"{half}.norm_out"


def clip(encoder: Any) -> dict[str, Tensor]:
    """The state of CLIP's text encoder under transformers' names, which the original code uses too."""
    state = encoder.state_dict()
    return {f"text_model.{name.removeprefix('text_model.')}": weight for name, weight in state.items()}


def open_clip(encoder: Any) -> dict[str, Tensor]:
    """The state of OpenCLIP's text encoder under its own names: queries, keys and values in one piece, and
    the projection from the right."""
    before = {name.removeprefix("text_model."): weight for name, weight in encoder.state_dict().items()}
    state = {}
    for name, weight in before.items():
        if any(part in name for part in KEY_AND_VALUE):
            continue
        if QUERY in name:
            parts = [before[name.replace("q_proj", part)] for part in ("q_proj", *KEY_AND_VALUE)]
            name, weight = name.replace(QUERY, ".self_attn.in_proj_"), torch.cat(parts)
        if name == "text_projection.weight":
            weight = weight.T.contiguous()
        state[_moved(_within(name, OPEN_CLIP_LAYERS), OPEN_CLIP)] = weight
    return state


def _moved(name: str, places: Mapping[str, str]) -> str:
    """`name` with what it begins with exchanged."""
    for here, there in places.items():
        if name == here or name.startswith(f"{here}."):
            return there + name[len(here) :]
    return name


def _within(name: str, layers: Mapping[str, Mapping[str, str]]) -> str:
    """`name` with the layer exchanged that it tells of, if it stands within one of these kinds of blocks."""
    for kind, renamed in layers.items():
        if f".{kind}." in name:
            for here, there in renamed.items():
                name = name.replace(f".{here}.", f".{there}.")
    return name
