"""DreamBooth-LoRA (Hu et al. 2022; diffusers' script): the same objective over low-rank factors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from apdm.backbones.base import Backbone
from apdm.backbones.words import learning_encoders
from apdm.errors import at_least, positive
from apdm.personalizers.base import Attachment, nothing, own_text
from apdm.personalizers.dreambooth import DreamBooth
from apdm.seeding import derive, generator

OF_ONE = ("to_q", "to_k", "to_v", "to_out.0", "add_k_proj", "add_v_proj")  # diffusers' script
OF_BOTH = ("add_q_proj", "to_add_out")  # its SD3 script, for attention over picture and text jointly
OF_NETWORK = OF_ONE + OF_BOTH
OF_TEXT = ("q_proj", "k_proj", "v_proj", "out_proj")  # the same
BASE = ".base_layer"  # what PEFT inserts into the name of a weight that it adds to


@dataclass(frozen=True)
class LoRA(DreamBooth):
    """W + (alpha / r) B A in every attention; W, the protected weight, stays as it is.

    With `train_text_encoder` the attention of the CLIP text encoders gets factors too.
    """

    learning_rate: float = 1e-4
    """Of AdamW, constant [diffusers' recipe]."""
    max_train_steps: int = 500
    """Steps of the attack [diffusers' recipe]."""
    rank: int = 4
    """r, columns of B and rows of A [diffusers' script]."""
    lora_alpha: float | None = None
    """alpha; the rank if not given, which scales by 1 [diffusers' script]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, rank=1)
        if self.lora_alpha is not None:
            positive(self, "lora_alpha")

    def attach(self, backbone: Backbone, seed: int = 0) -> Attachment:
        give_back = own_text(backbone) if self.train_text_encoder else nothing
        encoders = learning_encoders(backbone) if self.train_text_encoder else []
        network: Any = backbone.network.requires_grad_(False)
        factors = self._add(network, OF_NETWORK, derive(seed, "network"))
        for number, encoder in enumerate(encoders):
            factors += self._add(encoder, OF_TEXT, derive(seed, "text encoder", number))

        def eject() -> None:
            network.unload_lora()
            give_back()

        named = network.named_parameters()
        effective = {name.replace(BASE, ""): weight for name, weight in named if "lora_" not in name}
        return Attachment(factors, effective, eject)

    def save(self, backbone: Backbone, folder: Path) -> None:
        """The factors alone, as `pytorch_lora_weights.safetensors`."""
        backbone.save_adapters(folder)

    def _add(self, module: Any, names: tuple[str, ...], seed: int) -> list[nn.Parameter]:
        """Adds factors to the layers of `module` that end in one of `names`: A normal with deviation 1 / r,
        drawn from `seed`, B zero."""
        from peft import LoraConfig, inject_adapter_in_model  # takes a second to import

        alpha: Any = self.rank if self.lora_alpha is None else self.lora_alpha
        with torch.random.fork_rng(devices=[]):  # PEFT draws factors of its own first
            inject_adapter_in_model(
                LoraConfig(r=self.rank, lora_alpha=alpha, target_modules=list(names)), module
            )
        factors = [(name, weight) for name, weight in module.named_parameters() if "lora_" in name]
        for name, weight in factors:
            if "lora_A" in name:
                draws = generator(seed, "lora", name)
                with torch.no_grad():
                    weight.copy_(torch.randn(weight.shape, generator=draws) / self.rank)
        return [weight for _, weight in factors]
