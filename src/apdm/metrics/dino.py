"""Subject likeness as DreamBooth measures it: the CLS token of a self-supervised ViT (Caron et al. 2021).

The score is called DINO only where the network is one: reports print the name of what was loaded.
"""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn
from transformers import ViTModel

from apdm.metrics.base import NetworkExtractor
from apdm.metrics.pretrained import complete, local_first, short_name
from apdm.pixels import center_crop, resize, to_unit
from apdm.types import Pixels

SHORT_SIDE, CROP = 256, 224  # as DreamBooth and APDM evaluate
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB in [0, 1]
IMAGENET_STD = (0.229, 0.224, 0.225)


class DinoExtractor(NetworkExtractor):
    """Features of `facebook/dino-vits16` (384-d) or of any other ViT in a folder or on the hub.

    Short side to 256 (bicubic), centre crop of 224, ImageNet statistics; the CLS token behind the last
    layer norm, not normalised. Files on this machine come first; the hub is asked for what is not there.
    Raises `InputError` if there is no complete ViT to load.
    """

    def __init__(self, source: str = "facebook/dino-vits16") -> None:
        network = load_vit(source)
        super().__init__(network, short_name(source), network.config.hidden_size)

    def embed(self, pixels: Pixels) -> Float[Tensor, "b d"]:
        mean, std = (pixels.new_tensor(value)[:, None, None] for value in (IMAGENET_MEAN, IMAGENET_STD))
        cropped = center_crop(resize(pixels, SHORT_SIDE), CROP)
        return cls_token(self.network, (to_unit(cropped) - mean) / std)


def load_vit(source: str | Path) -> ViTModel:
    """The ViT without its pooler: from a folder, else from the hub's cache, else from the hub.

    Raises `InputError` if none is found, it is another kind of network or some of its weights are
    missing.
    """
    return local_first(_load, source, "ViT")


def cls_token(vit: nn.Module, inputs: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
    """The first token behind the last layer norm; position embeddings are fitted to the size."""
    return vit(pixel_values=inputs, interpolate_pos_encoding=True).last_hidden_state[:, 0]


def _load(source: str, local: bool) -> ViTModel:
    fix = "give a ViT, e.g. facebook/dino-vits16"
    return complete(ViTModel, source, local, ("vit",), fix, add_pooling_layer=False)
