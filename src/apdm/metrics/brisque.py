"""BRISQUE: how unnatural a picture's local contrasts look (Mittal, Moorthy & Bovik 2012), no reference.

Own code around the regressor of the package `brisque` 0.2.0 (Rehan Guha, Apache-2.0), whose numbers
APDM and Anti-DreamBooth report; recipes/convert_brisque.py made brisque_svm.safetensors from it. One
deviation: the shape of a distribution is found on a grid, as in the authors' code, where the package's
root finder diverges on adversarial noise.

Made for photographs of some hundred pixels a side: values at 512 px compare with the papers'; those of
64-px pictures are reported and no verdict rests on them.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import torch
from jaxtyping import Float64
from safetensors.torch import load
from torch import Tensor
from torch.nn.functional import conv2d, interpolate

from apdm.direction import Direction
from apdm.metrics.base import Score, digest
from apdm.metrics.statistics import mean_score
from apdm.pixels import to_uint8
from apdm.types import Pixels

LUMINANCE = (0.2125, 0.7154, 0.0721)  # ITU-R BT.709, as scikit-image's rgb2gray
WINDOW, SIGMA = 7, 7 / 6  # Gaussian of the local mean and deviation, pixels
EXTRACTOR = "brisque-0.2.0-svm"
STABILISER = 1 / 255  # the paper's C = 1, for luminance in [0, 1]
SHAPES = torch.arange(0.2, 10, 0.001, dtype=torch.float64)  # the authors' grid


def brisque(pixels: Pixels) -> Float64[Tensor, "b"]:
    """The score of each picture as it is saved with 8 bits: about 0 to 100, lower is better quality.

    Sides should be even; of an odd one the half scale leaves out the last row, unlike the package.
    NaN of a flat picture, which has no contrasts, and of a black one with a bright border, whose products
    of contrasts are of one sign. Values near 155.8 mean that every feature lies far from all the regressor
    has seen.
    """
    colours = torch.from_numpy(to_uint8(pixels)).double() / 255
    luminance = colours @ torch.tensor(LUMINANCE, dtype=torch.float64)
    return torch.stack([_score(picture[None, None]) for picture in luminance])


def brisque_score(pixels: Pixels, *, seed: int, direction: Direction = Direction.HIGHER_PROTECTS) -> Score:
    """Mean over the pictures that have a score, with its interval over them; those without are counted. Where
    none has one it is undefined (NaN) and n is 0.

    Of an attack's pictures a higher one protects; of any others the caller says what it speaks for.
    """
    values = brisque(pixels)
    values = values[values.isfinite()].numpy()
    return mean_score(
        values,
        seed=seed,
        metric="BRISQUE",
        direction=direction,
        extractor=EXTRACTOR,
        fingerprint=fingerprint(),
        excluded=len(pixels) - len(values),
    )


def fingerprint() -> str:
    """SHA-256 of the regressor's weights."""
    return digest(_regressor().values())


def _score(luminance: Float64[Tensor, "1 1 h w"]) -> Float64[Tensor, ""]:
    if luminance.max() == luminance.min():
        return torch.tensor(torch.nan, dtype=torch.float64)
    half = interpolate(luminance, scale_factor=0.5, mode="bicubic", align_corners=False)
    features = torch.cat([_features(luminance), _features(half)])
    svm = _regressor()
    scaled = 2 * (features - svm["min"]) / (svm["max"] - svm["min"]) - 1
    distances = (svm["support_vectors"] - scaled).square().sum(1)
    return svm["coefficients"] @ (-svm["gamma"] * distances).exp() - svm["rho"]


def _features(luminance: Float64[Tensor, "1 1 h w"]) -> Float64[Tensor, "18"]:
    """Shape and variance of the contrasts; shape, mean and two variances of their products with the

    neighbour to the right, below, and on the two diagonals.
    """
    c = _normalised_contrasts(luminance)[0, 0]
    shape, _, left, right = _asymmetric_fit(c)
    products = (c[:, :-1] * c[:, 1:], c[:-1] * c[1:], c[:-1, :-1] * c[1:, 1:], c[:-1, 1:] * c[1:, :-1])
    fits = [value for product in products for value in _asymmetric_fit(product)]
    return torch.stack([shape, (left + right) / 2, *fits])


def _normalised_contrasts(luminance: Float64[Tensor, "1 1 h w"]) -> Float64[Tensor, "1 1 h w"]:
    """(I - mu) / (sigma + C) with Gaussian-weighted local mu and sigma, zeros beyond the border (eq. 1)."""
    offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    bell = (-offsets.square() / (2 * SIGMA**2)).exp()
    kernel = torch.outer(bell, bell)[None, None] / bell.sum() ** 2
    mean = conv2d(luminance, kernel, padding="same")
    deviation = (conv2d(luminance.square(), kernel, padding="same") - mean.square()).abs().sqrt()
    return (luminance - mean) / (deviation + STABILISER)


def _asymmetric_fit(x: Float64[Tensor, "..."]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Asymmetric generalised Gaussian by moments: shape, mean, left and right variance.

    The shape a solves rho(a) = E|x|^2 / E[x^2] (g^3 + 1)(g + 1) / (g^2 + 1)^2 with g = s_left / s_right
    and rho(a) = Gamma(2/a)^2 / (Gamma(1/a) Gamma(3/a)) (Lasmar et al. 2009).
    """
    left, right = x[x < 0].square().mean(), x[x >= 0].square().mean()
    g = (left / right).sqrt()
    ratio = x.abs().mean().square() / x.square().mean() * (g**3 + 1) * (g + 1) / (g**2 + 1) ** 2
    rho = (2 * _log_gamma(2) - _log_gamma(1) - _log_gamma(3)).exp()
    best = (rho - ratio).abs().argmin()
    a = SHAPES[best]
    scale = (right.sqrt() - left.sqrt()) * (0.5 * (_log_gamma(1) - _log_gamma(3)))[best].exp()
    mean = scale * (_log_gamma(2) - _log_gamma(1))[best].exp()
    return a, mean, left, right


@cache
def _log_gamma(k: int) -> Float64[Tensor, "shapes"]:
    """log Gamma(k / a) for every shape a of the grid."""
    return torch.lgamma(k / SHAPES)


@cache
def _regressor() -> dict[str, Tensor]:
    return load(files("apdm.metrics").joinpath("brisque_svm.safetensors").read_bytes())
