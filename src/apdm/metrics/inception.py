"""Inception-v3 as FID and KID look through it (Szegedy et al. 2016; the TensorFlow graph of 2015-12-05).

Own code after the paper's figures, under the names of the weights that are published for torch. That graph
differs from the later Inception-v3 in its pools: averages leave the padding out of the count, and the last
block takes a maximum instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.error import URLError

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, relu

from apdm.assets import sha256
from apdm.errors import InputError
from apdm.metrics.base import NetworkExtractor
from apdm.pixels import resize_tf1, to_unit
from apdm.types import Pixels

NAME = "inception-2015-12-05"
PUBLISHED = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth"
)
SHA256_PREFIX = "6726825d"  # of its SHA-256 the file's name holds these digits; no more of it is published
SIDE = 299
CHANNELS, CLASSES = 2048, 1008  # the graph knows eight classes more than ImageNet's thousand

Kernel = int | tuple[int, int]
Step = Mapping[str, tuple[Any, ...]]  # name: channels out, kernel and perhaps stride

average = partial(avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)
largest = partial(max_pool2d, kernel_size=3, stride=1, padding=1)
halving = partial(max_pool2d, kernel_size=3, stride=2)


class InceptionExtractor(NetworkExtractor):
    """The 2048 averages before the classifier ("pool3"), of the whole picture at 299 x 299.

    Resized as TensorFlow 1 did; the network takes (levels - 128) / 128 of levels in [0, 255]. `source`
    is the weights' file or its URL. Raises `InputError` as `weights_file` and `load` do.
    """

    def __init__(self, source: str | Path = PUBLISHED) -> None:
        super().__init__(load(weights_file(source)), NAME, CHANNELS)

    def embed(self, pixels: Pixels) -> Float[Tensor, "b 2048"]:
        levels = to_unit(resize_tf1(pixels, SIDE)) * 255
        return self.network((levels - 128) / 128)


def weights_file(source: str | Path) -> Path:
    """The file at `source` if it begins with the pinned hash; a URL is kept in torch's hub folder.

    Nothing of the file is read but its hash. Raises `InputError` if it cannot be had or is another one.
    """
    path = _fetched(str(source)) if is_url(source) else Path(source)
    if not path.is_file():
        raise InputError(f"there is no file '{path}'", fix=f"download {PUBLISHED}")
    found = sha256(path)
    if not found.startswith(SHA256_PREFIX):
        raise InputError(
            f"'{path}' has the SHA-256 {found[:8]}..., not {SHA256_PREFIX}...", fix=f"download {PUBLISHED}"
        )
    return path


def is_url(source: str | Path) -> bool:
    return str(source).startswith(("https://", "http://"))


def load(path: Path) -> FIDInceptionV3:
    """The network without its classifier. Raises `InputError` for weights of another architecture."""
    network = FIDInceptionV3()
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict({k: v for k, v in weights.items() if not k.startswith("fc.")})
    except (RuntimeError, UnpicklingError, AttributeError) as error:
        raise InputError(f"'{path}' is no FID Inception", fix=f"download {PUBLISHED}") from error
    return network


def _fetched(url: str) -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=SHA256_PREFIX, progress=False)
        except (URLError, OSError, RuntimeError, ValueError) as error:
            raise InputError(f"'{url}' cannot be fetched ({error})", fix="give the file's path") from error
    return path


class Convolution(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, width: int, out: int, kernel: Kernel, stride: int = 1, pad: bool = True) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if pad and stride == 1 else 0
        self.conv = nn.Conv2d(width, out, sides, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        return relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches over one input, joined along the channels; the last of them is the pool.

    A branch is a row of steps; the convolutions of one step share their input and are joined behind it.
    With `projected` channels a 1 x 1 convolution follows the pool.
    """

    def __init__(
        self,
        width: int,
        branches: Sequence[Sequence[Step]],
        pool: Callable[[Tensor], Tensor],
        projected: int = 0,
    ) -> None:
        super().__init__()
        for branch in branches:
            channels = width
            for step in branch:
                for name, shape in step.items():
                    self.add_module(name, Convolution(channels, *shape))
                channels = sum(shape[0] for shape in step.values())
        if projected:
            self.branch_pool = Convolution(width, projected, 1)
        self.rows = [[tuple(step) for step in branch] for branch in branches]
        self.pool, self.projected = pool, projected

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        pooled = self.branch_pool(self.pool(x)) if self.projected else self.pool(x)
        return torch.cat([*(self._along(row, x) for row in self.rows), pooled], dim=1)

    def _along(self, row: Sequence[Sequence[str]], x: Tensor) -> Tensor:
        for names in row:
            x = torch.cat([self.get_submodule(name)(x) for name in names], dim=1)
        return x


def mixed_a(width: int, projected: int) -> Mixed:
    """35 x 35 (figure 5)."""
    return Mixed(
        width,
        (
            ({"branch1x1": (64, 1)},),
            ({"branch5x5_1": (48, 1)}, {"branch5x5_2": (64, 5)}),
            ({"branch3x3dbl_1": (64, 1)}, {"branch3x3dbl_2": (96, 3)}, {"branch3x3dbl_3": (96, 3)}),
        ),
        average,
        projected,
    )


def mixed_b(width: int) -> Mixed:
    """35 x 35 -> 17 x 17 (figure 10)."""
    return Mixed(
        width,
        (
            ({"branch3x3": (384, 3, 2)},),
            ({"branch3x3dbl_1": (64, 1)}, {"branch3x3dbl_2": (96, 3)}, {"branch3x3dbl_3": (96, 3, 2)}),
        ),
        halving,
    )


def mixed_c(width: int, c: int) -> Mixed:
    """17 x 17, convolutions of 7 x 7 in two factors (figure 6)."""
    across, down = (1, 7), (7, 1)
    return Mixed(
        width,
        (
            ({"branch1x1": (192, 1)},),
            ({"branch7x7_1": (c, 1)}, {"branch7x7_2": (c, across)}, {"branch7x7_3": (192, down)}),
            (
                {"branch7x7dbl_1": (c, 1)},
                {"branch7x7dbl_2": (c, down)},
                {"branch7x7dbl_3": (c, across)},
                {"branch7x7dbl_4": (c, down)},
                {"branch7x7dbl_5": (192, across)},
            ),
        ),
        average,
        192,
    )


def mixed_d(width: int) -> Mixed:
    """17 x 17 -> 8 x 8."""
    return Mixed(
        width,
        (
            ({"branch3x3_1": (192, 1)}, {"branch3x3_2": (320, 3, 2)}),
            (
                {"branch7x7x3_1": (192, 1)},
                {"branch7x7x3_2": (192, (1, 7))},
                {"branch7x7x3_3": (192, (7, 1))},
                {"branch7x7x3_4": (192, 3, 2)},
            ),
        ),
        halving,
    )


def mixed_e(width: int, pool: Callable[[Tensor], Tensor]) -> Mixed:
    """8 x 8, the last step of two branches in two directions side by side (figure 7)."""
    across, down = (384, (1, 3)), (384, (3, 1))
    return Mixed(
        width,
        (
            ({"branch1x1": (320, 1)},),
            ({"branch3x3_1": (384, 1)}, {"branch3x3_2a": across, "branch3x3_2b": down}),
            (
                {"branch3x3dbl_1": (448, 1)},
                {"branch3x3dbl_2": (384, 3)},
                {"branch3x3dbl_3a": across, "branch3x3dbl_3b": down},
            ),
        ),
        pool,
        192,
    )


class FIDInceptionV3(nn.Sequential):
    """[b 3 299 299] in about [-1, 1] -> features [b 2048], or logits [b 1008] `with_classifier`."""

    def __init__(self, with_classifier: bool = False) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {
            "Conv2d_1a_3x3": Convolution(3, 32, 3, 2),
            "Conv2d_2a_3x3": Convolution(32, 32, 3, pad=False),
            "Conv2d_2b_3x3": Convolution(32, 64, 3),
            "maxpool1": nn.MaxPool2d(3, 2),
            "Conv2d_3b_1x1": Convolution(64, 80, 1),
            "Conv2d_4a_3x3": Convolution(80, 192, 3, pad=False),
            "maxpool2": nn.MaxPool2d(3, 2),
            "Mixed_5b": mixed_a(192, 32),
            "Mixed_5c": mixed_a(256, 64),
            "Mixed_5d": mixed_a(288, 64),
            "Mixed_6a": mixed_b(288),
            "Mixed_6b": mixed_c(768, 128),
            "Mixed_6c": mixed_c(768, 160),
            "Mixed_6d": mixed_c(768, 160),
            "Mixed_6e": mixed_c(768, 192),
            "Mixed_7a": mixed_d(768),
            "Mixed_7b": mixed_e(1280, average),
            "Mixed_7c": mixed_e(2048, largest),
            "avgpool": nn.AdaptiveAvgPool2d(1),
            "flatten": nn.Flatten(),
        }
        if with_classifier:
            layers["fc"] = nn.Linear(CHANNELS, CLASSES)
        for name, layer in layers.items():
            self.add_module(name, layer)
