"""Subject likeness as DreamBooth measures it: the CLS token of a self-supervised ViT (Caron et al. 2021).

The score is called DINO only where the network is one: reports print the name of what was loaded.
"""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, ViTModel

from apdm.errors import InputError
from apdm.metrics.base import NetworkExtractor
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
        name = Path(source).resolve().name if Path(source).is_dir() else source
        super().__init__(network, name, network.config.hidden_size)

    def embed(self, pixels: Pixels) -> Float[Tensor, "b d"]:
        mean, std = (pixels.new_tensor(value)[:, None, None] for value in (IMAGENET_MEAN, IMAGENET_STD))
        cropped = center_crop(resize(pixels, SHORT_SIDE), CROP)
        return cls_token(self.network, (to_unit(cropped) - mean) / std)


def load_vit(source: str | Path) -> ViTModel:
    """The ViT without its pooler: from a folder, else from the hub's cache, else from the hub.

    Raises `InputError` if none is found, it is another kind of network or some of its weights are
    missing.
    """
    cause: Exception | None = None
    for local in (True,) if Path(source).is_dir() else (True, False):
        try:
            return _load(str(source), local)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            cause = error
    raise InputError(
        f"no readable ViT at '{source}'", fix="give a folder with its config.json and model.safetensors"
    ) from cause


def cls_token(vit: nn.Module, inputs: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
    """The first token behind the last layer norm; position embeddings are fitted to the size."""
    return vit(pixel_values=inputs, interpolate_pos_encoding=True).last_hidden_state[:, 0]


def _load(source: str, local: bool) -> ViTModel:
    config = AutoConfig.from_pretrained(source, local_files_only=local)
    if config.model_type != "vit":
        raise InputError(f"'{source}' is a {config.model_type}", fix="give a ViT, e.g. facebook/dino-vits16")
    network, report = ViTModel.from_pretrained(  # pyright: ignore[reportGeneralTypeIssues]
        source, config=config, add_pooling_layer=False, local_files_only=local, output_loading_info=True
    )
    if missing := sorted(report["missing_keys"]):
        raise InputError(f"'{source}' lacks {len(missing)} weights, {missing[0]} first", fix="save it again")
    return network
