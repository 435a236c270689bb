"""CMMD: kernel distance of two sets of pictures in CLIP's space (Jayasumana et al. 2024, Rethinking FID).

Published with CLIP ViT-L/14 at 336 pixels. Over another extractor it is printed with its name and compared
with values of the same one only.
"""

from __future__ import annotations

from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import normalize

from apdm.metrics.base import FeatureExtractor, Interval, Score
from apdm.metrics.distances import check_counts, distance_score, whole_and_halves
from apdm.metrics.statistics import distance_interval
from apdm.seeding import generator
from apdm.types import Pixels

PUBLISHED = "openai/clip-vit-large-patch14-336"
SIGMA, SCALE = 10.0, 1000.0  # the paper's
HALVES = 1000  # our choice, as KID's


def gaussian_kernel(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float64[Tensor, "n m"]:
    """k(x, y) = exp(-|x - y|^2 / (2 sigma^2)) of features at unit length, where |x - y|^2 = 2 - 2 x.y."""
    cosines = normalize(x.double(), dim=1) @ normalize(y.double(), dim=1).T
    return ((cosines - 1) / SIGMA**2).exp()


def cmmd(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], *, seed: int) -> Interval:
    """1000 (mean k(x, x') + mean k(y, y') - 2 mean k(x, y)), the biased estimator: never below zero.

    The interval is `statistics.distance_interval` of random halves. Raises `InputError` for fewer than four
    features on a side.
    """
    check_counts("CMMD", x, y)
    kernels = gaussian_kernel(x, x), gaussian_kernel(y, y), gaussian_kernel(x, y)
    return distance_interval(*whole_and_halves(_biased, kernels, HALVES, generator(seed, "cmmd")))


def cmmd_score(extractor: FeatureExtractor, images: Pixels, references: Pixels, *, seed: int) -> Score:
    """CMMD of generated images to reference images; `n` counts the generated ones."""
    return distance_score("CMMD", cmmd, extractor, images, references, seed=seed)


def _biased(
    of_x: Float64[Tensor, "s n"],
    of_y: Float64[Tensor, "s m"],
    k_xx: Float64[Tensor, "n n"],
    k_yy: Float64[Tensor, "m m"],
    k_xy: Float64[Tensor, "n m"],
) -> Float64[Tensor, "s"]:
    """The estimator on subsets, given as rows of ones and zeros."""
    p, q = of_x / of_x.sum(1, keepdim=True), of_y / of_y.sum(1, keepdim=True)
    within = ((p @ k_xx) * p).sum(1) + ((q @ k_yy) * q).sum(1)
    return SCALE * (within - 2 * ((p @ k_xy) * q).sum(1))
