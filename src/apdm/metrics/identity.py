"""A judge of our own: a ViT trained to tell individuals apart, in a folder that `save_pretrained` wrote."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from apdm.errors import InputError
from apdm.metrics.base import NetworkExtractor
from apdm.metrics.dino import cls_token, load_vit
from apdm.types import Pixels


class IdentityExtractor(NetworkExtractor):
    """The CLS token at unit length, named after the folder.

    The network takes [-1, 1] as it is, at its config's `image_size`; pictures of another size are
    resized to it, bilinear with antialiasing. Raises `InputError` if the folder has no ViT.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"no folder '{folder}'", fix="give the folder of an identity network")
        network = load_vit(folder)
        super().__init__(network, folder.resolve().name, network.config.hidden_size)
        side = network.config.image_size
        self.size = (side, side) if isinstance(side, int) else tuple(side)

    def embed(self, pixels: Pixels) -> Float[Tensor, "b d"]:
        if pixels.shape[2:] != self.size:
            pixels = interpolate(pixels, self.size, mode="bilinear", antialias=True)
        return normalize(cls_token(self.network, pixels), dim=1)
