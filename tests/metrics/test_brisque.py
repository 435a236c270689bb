"""References are what the package `brisque` 0.2.0 gives for the same 8-bit pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from apdm.direction import Direction
from apdm.metrics import brisque as module
from apdm.metrics.brisque import brisque, brisque_score
from apdm.pixels import from_uint8

TOLERANCE = 0.08  # the package solves for a shape what is here looked up on a grid of .001
PHOTOS = {
    "astronaut": 10.795,
    "chelsea": 32.480,
    "coffee": 17.190,
    "rocket": 27.930,
}  # central square, 512 px


def pattern(size: int) -> np.ndarray:
    """Three colours of waves with a little noise, [size size 3] in 0..255."""
    rows, columns = np.mgrid[:size, :size] / size
    waves = [np.sin(2 * np.pi * (a * rows + b * columns)) for a, b in ((3, 1), (2, -4), (5, 5))]
    noise = np.random.default_rng(0).normal(0, 6, (size, size, 3))
    return np.clip(128 + 80 * np.stack(waves, -1) + noise, 0, 255).round().astype(np.uint8)


def photo(name: str) -> np.ndarray:
    data = pytest.importorskip(
        "skimage.data", reason="scikit-image, whose photos these are, is not installed"
    )
    image = Image.fromarray(getattr(data, name)())
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((512, 512), Image.Resampling.BICUBIC))


def score(picture: np.ndarray) -> float:
    return brisque(from_uint8(picture[None])).item()


@pytest.mark.parametrize(("size", "expected"), [(128, 40.001), (64, 99.669)])
def test_a_pattern_scores_as_in_the_package(size: int, expected: float) -> None:
    assert score(pattern(size)) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("name", PHOTOS)
def test_photos_score_as_in_the_package(name: str) -> None:
    assert score(photo(name)) == pytest.approx(PHOTOS[name], abs=TOLERANCE)


def test_distortions_score_as_in_the_package() -> None:
    clean = photo("astronaut")
    noise = np.random.default_rng(0).normal(0, 20, clean.shape)
    noisy = np.clip(clean + noise, 0, 255).round().astype(np.uint8)
    blurred = np.asarray(Image.fromarray(clean).filter(ImageFilter.GaussianBlur(3)))
    assert score(noisy) == pytest.approx(46.338, abs=TOLERANCE)
    assert score(blurred) == pytest.approx(76.735, abs=TOLERANCE)


def test_noise_of_one_amplitude_does_not_fall_out_of_range() -> None:
    signs = np.random.default_rng(0).choice([-8, 8], (128, 128, 3))
    attacked = np.clip(pattern(128) + signs, 0, 255).astype(np.uint8)
    assert score(attacked) < 150  # the package says 155.845 for all such pictures


@pytest.mark.parametrize("shape", [1, 2])
def test_the_fit_finds_what_was_drawn(shape: int) -> None:
    """A side twice as wide as the other one is drawn twice as often; shape 1: exponential, 2: normal."""
    rng = np.random.default_rng(0)
    distances = rng.exponential(size=400_000) if shape == 1 else np.abs(rng.normal(size=400_000))
    drawn = torch.from_numpy(distances * rng.choice([-1, 2, 2], 400_000))
    variance = 2 if shape == 1 else 1
    fit = [value.item() for value in module._asymmetric_fit(drawn)]
    assert fit == pytest.approx([shape, drawn.mean().item(), variance, 4 * variance], rel=0.02)


def test_the_score_is_that_of_the_saved_picture() -> None:
    pixels = from_uint8(pattern(64)[None])
    unsaved = (pixels + 0.3 / 127.5).clamp(-1, 1)
    assert brisque(unsaved).item() == brisque(pixels).item()


def test_pictures_of_a_batch_do_not_meet() -> None:
    both = from_uint8(np.stack([pattern(64), 255 - pattern(64)]))
    assert brisque(both).tolist() == [brisque(both[:1]).item(), brisque(both[1:]).item()]


@pytest.mark.parametrize("level", [-1.0, 0.2, 1.0])
def test_a_flat_picture_has_no_score(level: float) -> None:
    assert brisque(torch.full((1, 3, 64, 64), level)).isnan().all()


def test_flat_pictures_are_left_out_and_counted() -> None:
    flat = torch.zeros(1, 3, 64, 64)
    pictures = torch.cat([from_uint8(pattern(64)[None]), flat, from_uint8(255 - pattern(64)[None])])
    values = brisque(pictures)[[0, 2]]
    found = brisque_score(pictures, seed=0)
    assert found.value == values.mean().item()
    assert (found.low, found.high) == (values.min().item(), values.max().item())
    assert (found.n, found.excluded) == (2, 1)
    assert (found.metric, found.direction) == ("BRISQUE", Direction.HIGHER_PROTECTS)
    assert found.extractor == "brisque-0.2.0-svm"


def test_pictures_without_any_score_have_none_together() -> None:
    """The one black, the other, too, but for its first row."""
    pictures = torch.full((2, 3, 64, 64), -1.0)
    pictures[1, :, 0] = 1.0
    found = brisque_score(pictures, seed=0)
    assert all(math.isnan(it) for it in (found.value, found.low, found.high))
    assert (found.n, found.excluded) == (0, 2)


def test_the_regressor_is_the_one_that_was_converted() -> None:
    svm: dict[str, Tensor] = module._regressor()
    assert svm["support_vectors"].shape == (770, 36)
    assert svm["rho"].item() == -155.845
    assert svm["gamma"].item() == 0.05
    assert svm["coefficients"].sum().item() == pytest.approx(0, abs=1e-6)  # dual constraint of the SVR
    fingerprint = brisque_score(from_uint8(pattern(64)[None]), seed=0).fingerprint
    assert fingerprint == "e49d823b65a996539f7558e16152d5541a6c9fabb585cce21dd6e7a022f8f68e"
