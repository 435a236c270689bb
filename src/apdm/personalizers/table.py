"""Attacks by name."""

from __future__ import annotations

from apdm.personalizers.base import Personalizer
from apdm.personalizers.custom_diffusion import CustomDiffusion
from apdm.personalizers.dreambooth import DreamBooth
from apdm.personalizers.lora import LoRA
from apdm.personalizers.textual_inversion import TextualInversion

PERSONALIZERS: dict[str, type[Personalizer]] = {
    "dreambooth": DreamBooth,
    "lora": LoRA,
    "custom-diffusion": CustomDiffusion,
    "textual-inversion": TextualInversion,
}
