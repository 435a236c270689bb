"""Which of a network's weights belong to attention: what several methods move and leave all else."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from apdm.errors import InputError

Group = Literal["attention", "cross_attention", "cross_kv"]

KEYS_AND_VALUES = ("to_k", "to_v")
PROJECTIONS = ("to_q", "to_k", "to_v", "to_out", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")


def attention_weights(network: nn.Module, group: Group) -> dict[str, nn.Parameter]:
    """The weights of `group` in a diffusers network, by their names in it.

    "attention": every projection of every attention; "cross_attention": those that look from the picture
    at the text; "cross_kv": the latter's keys and values only. Raises `InputError` for a network whose
    picture and text attend to each other jointly (MMDiT) and so have no cross-attention.
    """
    from diffusers.models.attention import AttentionModuleMixin  # their import takes seconds
    from diffusers.models.attention_processor import Attention

    crossing = group != "attention"
    wanted = KEYS_AND_VALUES if group == "cross_kv" else PROJECTIONS
    found: dict[str, nn.Parameter] = {}
    for place, module in network.named_modules():
        attends = isinstance(module, Attention | AttentionModuleMixin)  # the latter are never across
        if attends and (getattr(module, "is_cross_attention", False) or not crossing):
            found |= _projections(module, place, wanted)
    if not found:
        raise InputError(
            f"the model's {type(network).__name__} has no {group.replace('_', ' ')}",
            fix="take another method",
        )
    return found


def _projections(attention: Any, place: str, wanted: tuple[str, ...]) -> dict[str, nn.Parameter]:
    named = attention.named_parameters(prefix=place)
    return {name: weight for name, weight in named if name.removeprefix(f"{place}.").split(".")[0] in wanted}
