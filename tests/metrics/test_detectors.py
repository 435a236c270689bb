"""What small random detectors find is what their heads say, in pixels of the picture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import (
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessorPil,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessorPil,
    Owlv2Processor,
    Owlv2TextConfig,
    Owlv2VisionConfig,
    SwinConfig,
)

from apdm.backbones.tokenizer import word_tokenizer
from apdm.errors import InputError
from apdm.metrics.detectors import InstanceSegmenter, ZeroShotDetector, box_of, detector, read_names
from apdm.metrics.geneval import Prompt, Requirement
from apdm.pixels import to_images
from apdm.seeding import generator

LABELS = ("dog", "cat", "computer mouse")


@pytest.fixture(scope="module")
def mask2former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detectors") / "tiny-mask2former"
    swin = SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = Mask2FormerConfig(
        backbone_config=swin,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=32,
        dim_feedforward=32,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=6,
        id2label={0: "dog", 1: "cat", 2: "mouse"},
    )
    torch.manual_seed(0)
    Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)
    Mask2FormerImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def owlv2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detectors") / "tiny-owlv2"
    tokenizer = word_tokenizer(("a", "photo", "of", "dog", "cat", "computer", "mouse"), max_length=16)
    size = len(tokenizer)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    marks = {"bos_token_id": size - 2, "eos_token_id": size - 1, "pad_token_id": size - 1}
    config = Owlv2Config(
        text_config=Owlv2TextConfig(vocab_size=size, max_position_embeddings=16, **shape, **marks),
        vision_config=Owlv2VisionConfig(image_size=32, patch_size=8, **shape),
        projection_dim=16,
    )
    torch.manual_seed(0)
    Owlv2ForObjectDetection(config).save_pretrained(folder)
    processor = Owlv2ImageProcessorPil(size={"height": 32, "width": 32})
    Owlv2Processor(processor, tokenizer).save_pretrained(folder)
    return folder


def pictures(count: int, height: int, width: int) -> Tensor:
    return torch.rand(count, 3, height, width, generator=generator(0, "detectors")) * 2 - 1


def test_a_box_lies_around_its_mask() -> None:
    mask = torch.zeros(5, 7, dtype=torch.bool)
    mask[1, 2] = mask[3, 4] = True
    assert box_of(mask) == (2.0, 1.0, 5.0, 4.0)


def test_instances_have_names_confidences_masks_and_boxes(mask2former: Path) -> None:
    """Confidence: softmax of the class times the mean probability inside the mask, of the likeliest pairs."""
    network = Mask2FormerForUniversalSegmentation.from_pretrained(mask2former)
    processor = Mask2FormerImageProcessorPil.from_pretrained(mask2former)
    picture = pictures(1, 40, 56)
    with torch.no_grad():
        out = network(**processor(to_images(picture), return_tensors="pt"))
    pairs = out.class_queries_logits[0].softmax(1)[:, :3].flatten().topk(6)
    large = torch.nn.functional.interpolate(out.masks_queries_logits, (384, 384), mode="bilinear")[0]
    expected = []
    for share, pair in zip(pairs.values, pairs.indices, strict=True):
        logits = large[int(pair) // 3]
        if (logits > 0).any():
            inside = float(logits.sigmoid()[logits > 0].mean())
            expected.append((LABELS[int(pair) % 3], pytest.approx(float(share) * inside, abs=1e-4)))
    found = InstanceSegmenter(mask2former, LABELS)(picture)[0]
    assert len(found) >= 2
    assert sorted((d.label, d.confidence) for d in found) == sorted(
        expected, key=lambda e: (e[0], e[1].expected)
    )
    for detection in found:
        assert detection.mask is not None
        assert detection.mask.shape == (40, 56)
        assert detection.box == box_of(detection.mask)


def test_each_picture_has_its_own_list(mask2former: Path) -> None:
    detector, three = InstanceSegmenter(mask2former), pictures(3, 48, 48)
    together, alone = detector(three), [detector(one)[0] for one in three.split(1)]
    assert [[d.confidence for d in found] for found in together] == [
        [d.confidence for d in found] for found in alone
    ]
    assert detector.labels == ("dog", "cat", "mouse")
    assert detector.name == "tiny-mask2former"


def test_names_must_fit_the_classes(mask2former: Path) -> None:
    with pytest.raises(InputError, match="2 names are given to 3 classes"):
        InstanceSegmenter(mask2former, ("dog", "cat"))


def test_a_picture_in_which_nothing_is_found(mask2former: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = InstanceSegmenter(mask2former)
    forward = detector.network.forward

    def nothing(**inputs: Tensor) -> object:
        out = forward(**inputs)
        out.masks_queries_logits = out.masks_queries_logits.fill_(-9.0)
        return out

    monkeypatch.setattr(detector.network, "forward", nothing)
    assert detector(pictures(1, 32, 32)) == [[]]


def test_zero_shot_boxes_are_in_pixels_of_the_longer_side(owlv2: Path) -> None:
    """OWLv2 pads a picture to a square below and to the right."""
    network, processor = Owlv2ForObjectDetection.from_pretrained(owlv2), Owlv2Processor.from_pretrained(owlv2)
    picture = pictures(1, 40, 80)
    asked = [f"a photo of a {label}" for label in LABELS]
    inputs = processor(text=[asked], images=to_images(picture), return_tensors="pt", padding="max_length")
    with torch.no_grad():
        out = network(**inputs)
    logits, labels = out.logits[0].max(1)
    found = ZeroShotDetector(LABELS, owlv2, threshold=0.0)(picture)[0]
    assert [d.label for d in found] == [LABELS[int(i)] for i in labels]
    assert [d.confidence for d in found] == pytest.approx(logits.sigmoid().tolist(), abs=1e-5)
    x, y, width, height = out.pred_boxes[0, 0].tolist()
    corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    assert found[0].box == pytest.approx(tuple(80 * c for c in corners), abs=1e-3)
    assert found[0].mask is None


def test_zero_shot_boxes_below_the_threshold_are_left_out(owlv2: Path) -> None:
    every = ZeroShotDetector(LABELS, owlv2, threshold=0.0)(pictures(1, 32, 32))[0]
    middle = sorted(d.confidence for d in every)[len(every) // 2]
    some = ZeroShotDetector(LABELS, owlv2, threshold=middle)(pictures(1, 32, 32))[0]
    assert 0 < len(some) < len(every)
    assert min(d.confidence for d in some) > middle


def test_other_kinds_of_networks_are_refused(clip_folder: Path) -> None:
    with pytest.raises(InputError, match="is a clip: give a Mask2Former"):
        InstanceSegmenter(clip_folder)
    with pytest.raises(InputError, match="is a clip: give an OWL-ViT"):
        ZeroShotDetector(LABELS, clip_folder)


def test_a_detector_is_what_its_configuration_says(mask2former: Path, owlv2: Path, clip_folder: Path) -> None:
    """COCO's "mouse" is GenEval's "computer mouse"; a zero-shot one is told what the prompts ask for."""
    asked = [Prompt("counting", "x", (Requirement("mouse", 2),), (Requirement("cat", 3),))] * 2
    fixed, told = detector(mask2former, asked), detector(owlv2, asked)
    assert (type(fixed), fixed.labels) == (InstanceSegmenter, LABELS)
    assert (type(told), told.labels) == (ZeroShotDetector, ("cat", "mouse"))
    assert detector(mask2former, asked, ["a", "b", "c"]).labels == ("a", "b", "c")
    with pytest.raises(InputError, match="2 names are given to 3 classes"):
        detector(mask2former, asked, ["a", "b"])
    with pytest.raises(InputError, match="is told its classes"):
        detector(owlv2, asked, ["a"])
    with pytest.raises(InputError, match="is a clip: give a Mask2Former"):
        detector(clip_folder, asked)
    with pytest.raises(InputError, match="no readable detector at"):
        detector(clip_folder / "none", asked)


def test_names_are_lines(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("dog\n\n computer mouse \n")
    assert read_names(path) == ("dog", "computer mouse")
    path.write_text("\n")
    with pytest.raises(InputError, match="holds no name"):
        read_names(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_names(tmp_path / "none.txt")
