"""Judges by name."""

from __future__ import annotations

from pathlib import Path

from apdm.assets import TOYBOX_CLIP, TOYBOX_IDENTITY
from apdm.errors import InputError
from apdm.metrics.base import FeatureExtractor

TOYBOX, EFFICIENTNET, INCEPTION = "toybox-identity", "efficientnet-lite0", "inception"
CLIP_OF_TOYS = "toybox-clip"


def judge(name: str) -> FeatureExtractor:
    """`toybox-identity` or `toybox-clip` (toys only), `efficientnet-lite0` (offline, photographs),
    `inception` (fetched once) or its weights as a .pth file or URL, or the folder or hub id of any ViT, as
    `facebook/dino-vits16`, the paper's DINO. Raises `InputError`."""
    if name == TOYBOX:
        from apdm.metrics.identity import IdentityExtractor

        return IdentityExtractor(TOYBOX_IDENTITY.folder())
    if name == CLIP_OF_TOYS:
        from apdm.metrics.clip import ClipExtractor

        return ClipExtractor(TOYBOX_CLIP.folder())
    if name == EFFICIENTNET:
        from apdm.metrics.efficientnet import EfficientNetExtractor

        return EfficientNetExtractor()
    if name == INCEPTION or name.endswith(".pth"):
        from apdm.metrics.inception import PUBLISHED, InceptionExtractor

        return InceptionExtractor(PUBLISHED if name == INCEPTION else name)
    check_name(name)
    from apdm.metrics.dino import DinoExtractor

    return DinoExtractor(name)


def place(name: str) -> str:
    """Where the weights of a judge lie that comes with the package; of any other its name. Loads nothing.

    Raises `InputError` for one that is damaged or not installed."""
    shipped = {asset.name: asset for asset in (TOYBOX_IDENTITY, TOYBOX_CLIP)}
    if name in shipped:
        return str(shipped[name].folder())
    if name == EFFICIENTNET:
        from apdm.metrics.efficientnet import weights_file

        return str(weights_file())
    return name


def check_name(name: str) -> None:
    """Raises `InputError` for what no judge can be called; loads nothing."""
    known = name in (TOYBOX, CLIP_OF_TOYS, EFFICIENTNET, INCEPTION) or name.endswith(".pth")
    if not known and not Path(name).is_dir() and name.count("/") != 1:
        raise InputError(
            f"there is no judge '{name}'",
            fix=f"use {TOYBOX}, {CLIP_OF_TOYS}, {EFFICIENTNET}, {INCEPTION}, a ViT's folder or its hub id",
        )
