"""How a network is run where something learns in it: memory and time, and no part of a method."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from apdm.errors import InputError
from apdm.optimizers import check_8bit_installed


@dataclass(frozen=True)
class Execution:
    """The defaults are the published runs': float32 throughout, everything kept [APDM's released code].

    Weights and gradients are float32 whatever is said here, and so is what the autoencoder and the text
    encoders make, which run once, and every picture that is drawn to be looked at or measured.
    """

    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    """What the network's activations are in while it learns: float32 or, by autocast, bfloat16
    [diffusers' scripts]. fp16 is refused."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them [diffusers' scripts]."""
    compile: bool = False
    """Let torch.compile write the kernels of the network's passes while it learns: minutes at the beginning,
    fewer and larger kernels from then on, the same numbers but for rounding [off as published; ours]."""
    offload: bool = False
    """Keep the protected weights and their AdamW on the host, and let each gradient of the simulated attack
    go as soon as it has moved its weight; the numbers stay [diffusers' scripts offload what is not in use;
    what that is, is our choice]. A protection with a look-ahead only."""
    use_8bit_adam: bool = False
    """Keep what every AdamW remembers, an attack's and a protection's, in 8 bits instead of 32, by
    bitsandbytes, which has no kernel for mps; wants the extra apdm[8bit] [diffusers' scripts]."""

    def __post_init__(self) -> None:
        if self.use_8bit_adam:
            check_8bit_installed()
        if self.mixed_precision == "fp16":
            raise InputError(
                "fp16 loses gradients unless they are scaled, which a look-ahead's are not",
                fix="give --mixed_precision bf16",
            )

    def check(self, device: torch.device) -> None:
        """Raises `InputError` where torch.compile is asked for and finds no compiler, or 8-bit Adam has no
        kernel."""
        if self.use_8bit_adam and device.type == "mps":
            raise InputError("8-bit Adam has no kernel for mps", fix="leave out --use_8bit_adam")
        if not self.compile:
            return
        try:
            torch.compile(torch.neg)(torch.zeros(2, device=device))
        except RuntimeError as error:
            what = f"torch.compile does not work on {device} here ({str(error).splitlines()[0]})"
            raise InputError(what, fix="leave out --compile") from error

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Where the network's forward pass takes place."""
        if self.mixed_precision == "no":
            return nullcontext()
        return torch.autocast(device.type, torch.bfloat16)
