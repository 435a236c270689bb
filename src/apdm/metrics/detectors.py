"""Detectors for GenEval: instance segmentation with fixed classes, and OWL-ViT, which is told its classes.

GenEval's thresholds were set for mmdetection's Mask2Former. Other weights of it come near; for OWL-ViT they
have to be found anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForUniversalSegmentation,
    AutoModelForZeroShotObjectDetection,
    AutoProcessor,
)

from apdm.errors import InputError
from apdm.metrics.base import digest
from apdm.metrics.geneval import Detection, Prompt
from apdm.metrics.pretrained import complete, local_first, short_name
from apdm.pixels import to_images
from apdm.types import Pixels

MASK2FORMER = "facebook/mask2former-swin-small-coco-instance"
OWLV2 = "google/owlv2-base-patch16-ensemble"
ZERO_SHOT = ("owlv2", "owlvit")
GENEVAL_NAMES = {  # of COCO's classes those that GenEval calls otherwise than networks do, old and new
    "mouse": "computer mouse",
    "remote": "tv remote",
    "keyboard": "computer keyboard",
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
}


def detector(
    source: str | Path, prompts: Sequence[Prompt], names: Sequence[str] | None = None
) -> InstanceSegmenter | ZeroShotDetector:
    """What the configuration at `source` is of: an OWL-ViT, which is told the classes of `prompts`, or an
    instance segmenter, whose classes have `names`, or else their own, COCO's as GenEval says them.

    Raises `InputError` as they do, and for an OWL-ViT with `names`.
    """
    config = local_first(_config, source, "detector")
    if config.model_type in ZERO_SHOT:
        if names is not None:
            raise InputError(f"'{source}' is told its classes", fix="give it no names")
        wanted = [it.label for prompt in prompts for it in (*prompt.include, *prompt.exclude)]
        return ZeroShotDetector(sorted(set(wanted)), source)
    own = [str(config.id2label[number]) for number in range(len(config.id2label))]
    return InstanceSegmenter(source, names or [GENEVAL_NAMES.get(name, name) for name in own])


def read_names(path: Path) -> tuple[str, ...]:
    """One on each line. Raises `InputError` for a file that cannot be read or holds none."""
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error})", fix="give a text file, a name a line") from error
    if not names:
        raise InputError(f"{path} holds no name", fix="write one on each line")
    return names


class InstanceSegmenter:
    """`Detector` with any Mask2Former or MaskFormer for instances, by folder or hub id.

    A confidence is the class's probability times the mean probability of the mask; a box is the mask's.
    `names` are the classes by the network's own numbers: GenEval calls some of COCO's otherwise ("computer
    mouse"), and its object_names.txt has them in COCO's order. Raises `InputError` if there is no complete
    network to load or the names are not as many as its classes.
    """

    def __init__(self, source: str | Path = MASK2FORMER, names: Sequence[str] | None = None) -> None:
        self.network, self.processor = local_first(_load_segmenter, source, "instance segmentation network")
        own = self.network.config.id2label
        self.labels = tuple(names) if names is not None else tuple(own[i] for i in range(len(own)))
        if len(self.labels) != len(own):
            raise InputError(
                f"{len(self.labels)} names are given to {len(own)} classes of '{source}'",
                fix="give one for each",
            )
        self.name = short_name(source)
        self.fingerprint = digest(self.network.state_dict().values())

    def __call__(self, pixels: Pixels) -> list[list[Detection]]:
        return [self._found(picture) for picture in pixels.split(1)]

    @torch.no_grad()
    def _found(self, picture: Pixels) -> list[Detection]:
        seen = self.processor(images=to_images(picture), return_tensors="pt").to(self.network.device)
        result = self.processor.post_process_instance_segmentation(
            self.network(**seen),
            threshold=0.0,  # who asks decides what is enough
            target_sizes=[tuple(picture.shape[2:])],
            return_binary_maps=True,
        )[0]
        return [
            Detection(self.labels[part["label_id"]], part["score"], box_of(mask.bool()), mask.bool().cpu())
            for part, mask in zip(
                result["segments_info"], result["segmentation"], strict=False
            )  # one, if none
        ]


class ZeroShotDetector:
    """`Detector` with any OWL-ViT or OWLv2, by folder or hub id, for the classes it is told; no masks.

    Of each box the likeliest class counts, above `threshold`. Raises `InputError` if there is no complete
    network to load.
    """

    def __init__(self, labels: Sequence[str], source: str | Path = OWLV2, threshold: float = 0.1) -> None:
        self.network, self.processor = local_first(_load_zero_shot, source, "zero-shot detector")
        self.labels, self.threshold = tuple(labels), threshold
        self.name = short_name(source)
        self.fingerprint = digest(self.network.state_dict().values())

    def __call__(self, pixels: Pixels) -> list[list[Detection]]:
        return [self._found(picture) for picture in pixels.split(1)]

    @torch.no_grad()
    def _found(self, picture: Pixels) -> list[Detection]:
        asked = [f"a photo of a {label}" for label in self.labels]
        seen = self.processor(
            text=[asked], images=to_images(picture), return_tensors="pt", padding="max_length"
        )
        result = self.processor.post_process_grounded_object_detection(
            self.network(**seen.to(self.network.device)), self.threshold, [tuple(picture.shape[2:])]
        )[0]
        parts = zip(
            result["labels"].tolist(), result["scores"].tolist(), result["boxes"].tolist(), strict=True
        )
        return [Detection(self.labels[label], score, tuple(box)) for label, score, box in parts]


def box_of(mask: Tensor) -> tuple[float, float, float, float]:
    """The smallest box around a mask [h w] that is not empty; right and bottom lie behind its last pixels."""
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    left, right = int(columns[0]), int(columns[-1]) + 1
    return float(left), float(rows[0]), float(right), float(rows[-1]) + 1


def _config(source: str, local: bool) -> Any:
    return AutoConfig.from_pretrained(source, local_files_only=local)


def _load_segmenter(source: str, local: bool) -> tuple[Any, Any]:
    kind, fix = AutoModelForUniversalSegmentation, f"give a Mask2Former for instances, e.g. {MASK2FORMER}"
    network = complete(kind, source, local, ("mask2former", "maskformer"), fix)
    return network, AutoImageProcessor.from_pretrained(source, local_files_only=local, backend="pil")


def _load_zero_shot(source: str, local: bool) -> tuple[Any, Any]:
    kind, fix = AutoModelForZeroShotObjectDetection, f"give an OWL-ViT, e.g. {OWLV2}"
    network = complete(kind, source, local, ZERO_SHOT, fix)
    return network, AutoProcessor.from_pretrained(source, local_files_only=local, backend="pil")
