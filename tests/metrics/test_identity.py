from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn.functional import interpolate, normalize
from transformers import ViTModel

from apdm.errors import InputError
from apdm.metrics.identity import IdentityExtractor


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, save_vit: Callable[..., Path]) -> Path:
    return save_vit(tmp_path_factory.mktemp("weights") / "toybox-identity", 32, 8)


def by_hand(folder: Path, pixels: torch.Tensor) -> torch.Tensor:
    network = ViTModel.from_pretrained(folder, add_pooling_layer=False).eval()
    with torch.no_grad():
        return normalize(network(pixels).last_hidden_state[:, 0], dim=1)


def pictures(size: int) -> torch.Tensor:
    return torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_pictures_of_its_size_go_in_as_they_are(folder: Path) -> None:
    features = IdentityExtractor(folder)(pictures(32))
    assert torch.allclose(features, by_hand(folder, pictures(32)), atol=1e-6)
    assert torch.allclose(features.norm(dim=1), torch.ones(3))


def test_pictures_of_another_size_are_resized(folder: Path) -> None:
    small = interpolate(pictures(48), (32, 32), mode="bilinear", antialias=True)
    features = IdentityExtractor(folder)(pictures(48))
    assert torch.allclose(features, by_hand(folder, small), atol=1e-6)


def test_it_is_named_after_its_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = IdentityExtractor(folder)
    assert (extractor.name, extractor.dim) == ("toybox-identity", 16)
    monkeypatch.chdir(folder)
    assert IdentityExtractor(Path()).name == "toybox-identity"


def test_a_folder_that_is_not_there_is_never_looked_up_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        IdentityExtractor(tmp_path / "identity")
