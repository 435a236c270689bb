"""CLIP's features and scores against its own modules called one by one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize
from transformers import AutoTokenizer, CLIPModel

from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics.clip import ClipExtractor, clip_score
from apdm.metrics.similarity import similarity_score
from apdm.seeding import generator

PROMPTS = ("a photo of a red dog", "a blue object", "of")


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> ClipExtractor:
    return ClipExtractor(clip_folder)


def pictures(count: int, height: int = 48, width: int = 48) -> Tensor:
    return torch.rand(count, 3, height, width, generator=generator(0, "clip", count)) * 2 - 1


@torch.no_grad()
def images_by_hand(folder: Path, pixels: Tensor) -> Tensor:
    """Short side of 48 to 32, the middle 32, the folder's statistics, the projected class token."""
    network = CLIPModel.from_pretrained(folder)
    wide = pixels.shape[3] * 32 // 48
    small = interpolate(pixels, (32, wide), mode="bicubic", antialias=True).clamp(-1, 1)
    left = (wide - 32) // 2
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.25, 0.3])
    x = (small[..., left : left + 32] / 2 + 0.5 - mean[:, None, None]) / std[:, None, None]
    return network.visual_projection(network.vision_model(pixel_values=x).pooler_output)


@torch.no_grad()
def texts_by_hand(folder: Path, prompts: tuple[str, ...]) -> Tensor:
    """One by one, so that nothing is padded: the projected end token behind the last norm."""
    network, tokenizer = CLIPModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ends = [network.text_model(**tokenizer(p, return_tensors="pt")).last_hidden_state[0, -1] for p in prompts]
    return network.text_projection(torch.stack(ends))


@pytest.mark.parametrize("width", [48, 72])
def test_pictures_are_projected_unit_vectors(clip: ClipExtractor, clip_folder: Path, width: int) -> None:
    pixels = pictures(3, width=width)
    expected = normalize(images_by_hand(clip_folder, pixels), dim=1)
    assert torch.allclose(clip(pixels), expected, atol=1e-5)
    assert (clip.name, clip.dim) == ("tiny-clip", 8)


def test_prompts_are_projected_unit_vectors_whatever_they_are_batched_with(
    clip: ClipExtractor, clip_folder: Path
) -> None:
    expected = normalize(texts_by_hand(clip_folder, PROMPTS), dim=1)
    many = clip.text(PROMPTS * 15)
    assert torch.allclose(many, expected.repeat(15, 1), atol=1e-5)


def test_a_prompt_that_is_too_long_is_cut_off(clip: ClipExtractor) -> None:
    first = "a photo of a dog a photo of a dog"  # ten words between the two marks
    assert torch.allclose(clip.text([first]), clip.text([first + " a red object"]), atol=1e-6)


def test_the_score_is_the_mean_cosine_of_each_picture_and_its_own_prompt(
    clip: ClipExtractor, clip_folder: Path
) -> None:
    pixels = pictures(3)
    pairs = zip(images_by_hand(clip_folder, pixels), texts_by_hand(clip_folder, PROMPTS), strict=True)
    cosines = [float(i @ t / i.norm() / t.norm()) for i, t in pairs]
    score = clip_score(clip, pixels, PROMPTS, seed=0)
    assert score.value == pytest.approx(sum(cosines) / 3, abs=1e-5)
    assert score.low < score.value < score.high
    assert (score.metric, score.n, score.direction) == ("CLIP score", 3, Direction.HIGHER_PRESERVES)
    assert (score.extractor, score.fingerprint) == ("tiny-clip", clip.fingerprint)


def test_clip_i_is_the_mean_cosine_of_all_pairs(clip: ClipExtractor, clip_folder: Path) -> None:
    a, b = pictures(3), pictures(2)
    cosines = (
        normalize(images_by_hand(clip_folder, a), dim=1) @ normalize(images_by_hand(clip_folder, b), dim=1).T
    )
    assert similarity_score(clip, a, b, seed=0).value == pytest.approx(cosines.mean().item(), abs=1e-5)


@pytest.mark.parametrize("count", [0, 2, 4])
def test_each_picture_needs_its_prompt(clip: ClipExtractor, count: int) -> None:
    with pytest.raises(InputError, match=f"{count} images have 3 prompts"):
        clip_score(clip, pictures(count), PROMPTS, seed=0)


def test_another_kind_of_network_is_refused(save_vit, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a vit: give a CLIP"):
        ClipExtractor(save_vit(tmp_path, 32, 16))


def test_a_clip_without_its_preprocessor_is_refused(clip_folder: Path, tmp_path: Path) -> None:
    """Its mean and deviation would have to be guessed."""
    shutil.copytree(clip_folder, tmp_path / "half")
    (tmp_path / "half" / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match="no readable CLIP"):
        ClipExtractor(tmp_path / "half")
