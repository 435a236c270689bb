from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import interpolate
from transformers import Dinov2Config, Dinov2Model, ViTModel

from apdm.errors import InputError
from apdm.metrics import dino
from apdm.metrics.base import digest
from apdm.metrics.dino import DinoExtractor


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, save_vit: Callable[..., Path]) -> Path:
    """A ViT with random weights and the geometry of the real one."""
    return save_vit(tmp_path_factory.mktemp("models") / "tiny-vit", 224, 32, dropout=0.5)


def by_hand(folder: Path, pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize to `size`, middle 224 pixels, ImageNet statistics, first token."""
    x = interpolate(pixels, size, mode="bicubic", antialias=True).clamp(-1, 1)
    top, left = (size[0] - 224) // 2, (size[1] - 224) // 2
    x = x[:, :, top : top + 224, left : left + 224] / 2 + 0.5
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    network = ViTModel.from_pretrained(folder, add_pooling_layer=False).eval()
    with torch.no_grad():
        return network((x - mean[:, None, None]) / std[:, None, None]).last_hidden_state[:, 0]


@pytest.mark.parametrize(("shape", "resized"), [((64, 64), (256, 256)), ((300, 450), (256, 384))])
def test_features_are_the_cls_token_of_the_central_crop(
    folder: Path, shape: tuple[int, int], resized: tuple[int, int]
) -> None:
    pixels = torch.rand(3, 3, *shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    features = DinoExtractor(str(folder))(pixels)
    assert features.shape == (3, 16)
    assert torch.allclose(features, by_hand(folder, pixels, resized), atol=1e-4)


def test_it_is_named_after_what_was_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = DinoExtractor(str(folder))
    assert (extractor.name, extractor.dim) == ("tiny-vit", 16)
    assert extractor.fingerprint == digest(load_file(folder / "model.safetensors").values())
    monkeypatch.chdir(folder)
    assert DinoExtractor(".").name == "tiny-vit"


def test_files_on_this_machine_come_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def load(source: str, local: bool) -> ViTModel:
        asked.append(local)
        if local:
            raise OSError("not in the cache")
        return ViTModel.from_pretrained(folder, add_pooling_layer=False)

    monkeypatch.setattr(dino, "_load", load)
    assert DinoExtractor().name == "facebook/dino-vits16"
    assert asked == [True, False]


@pytest.mark.parametrize("where", ["no/such/folder", "empty"])
def test_nothing_to_load_is_one_clear_line(tmp_path: Path, where: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=f"no readable ViT at '.*{where}'"):
        DinoExtractor(str(tmp_path / where))


def test_another_kind_of_network_is_refused(tmp_path: Path) -> None:
    config = Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28)
    Dinov2Model(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="is a dinov2"):
        DinoExtractor(str(tmp_path))


def test_a_file_without_all_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    weights = load_file(folder / "model.safetensors")
    del weights["layernorm.weight"], weights["layernorm.bias"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"lacks 2 weights, layernorm\.bias first"):
        DinoExtractor(str(tmp_path))


def test_a_damaged_file_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:500])
    with pytest.raises(InputError, match="no readable ViT"):
        DinoExtractor(str(tmp_path))
