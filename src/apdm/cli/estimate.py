"""`apdm estimate`: what a protection will take, before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import tyro

from apdm.backbones.base import Sampling
from apdm.backbones.execution import Execution
from apdm.benchmark.estimate import Estimate, estimate
from apdm.cli.arguments import read
from apdm.cli.options import MISSING, check_resolution
from apdm.cli.protect import chosen
from apdm.errors import at_least
from apdm.protectors.table import PROTECTORS, Settings

EXAMPLE = "apdm estimate toybox --preset toybox"
S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Forecast(Generic[S]):
    """Say how much memory `apdm protect` will take with these flags, and how often it will call the network.
    Reads the model's configs only; takes seconds for Stable Diffusion, half a minute for XL.

    The flags are those of the method: with --method imma --help they are IMMA's."""

    model: tyro.conf.Positional[str]
    """Diffusers folder, .safetensors file, hub id, or "toybox"."""
    protection: Annotated[S, tyro.conf.arg(name="")]
    method: str = "apdm"
    """apdm, apdm-published, apdm-unpaired, apdm-without-l2p, apdm-leak, ascent, imma, mima, or none."""
    preset: str = "published"
    """Defaults of what follows: "published" (the method's own, for Stable Diffusion) or "toybox"."""
    photos: int = 4
    """Photos to protect with [APDM sec. 4.1]."""
    subjects: int = 1
    """Subjects, of so many photos each."""
    resolution: int | None = None
    """Pixels a side, a multiple of 8, for some models of 16; the model's own if not given."""
    sampling: Annotated[Sampling, tyro.conf.arg(name="")] = Sampling()
    execution: Annotated[Execution, tyro.conf.arg(name="")] = Execution()


def main(arguments: Sequence[str]) -> None:
    method, preset, settings, sampling = chosen(arguments)
    defaults = Forecast(MISSING, settings, method=method, preset=preset, sampling=sampling)
    wanted = read(Forecast[type(settings)], "estimate", arguments, EXAMPLE, defaults)
    at_least(wanted, photos=1, subjects=1)
    check_resolution(wanted.resolution)
    protector = PROTECTORS[method].using(wanted.protection)
    protector.check(wanted.execution, wanted.subjects)
    asked = wanted.photos, wanted.resolution, wanted.sampling, wanted.execution, wanted.subjects
    found = estimate(wanted.model, protector, *asked)
    print("\n".join(lines(found)))


def lines(found: Estimate) -> list[str]:
    """`found` in words."""
    return [
        f"weights, float32       {size(found.network)} network, {size(found.others)} text and autoencoder",
        f"peak while drawing     {size(found.drawing)}",
        f"peak while encoding    {size(found.encoding)}",
        f"peak while protecting  {size(found.protecting)}",
        f"samples through the network: {found.drawn.forward:,} forward to draw the class and the positives, "
        f"{found.protected.forward:,} forward and {found.protected.backward:,} backward to protect",
        "Tensors alone: what a GPU's libraries and the allocator's gaps need comes on top.",
    ]


def size(count: int) -> str:
    """Bytes, as a person reads them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
