"""What a picture of one toy shows: class, main colour and ground, read by a network of our own."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from transformers import ViTForImageClassification

from apdm.errors import InputError
from apdm.types import Pixels

BATCH = 100  # pictures a pass; memory only


class Reader:
    """A ViT whose labels are named "QUESTION: ANSWER", in a folder that `save_pretrained` wrote.

    Raises `InputError` if there is none.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "config.json").is_file():
            raise InputError(f"no reader in '{folder}'", fix="give the folder of a trained one")
        self.network = ViTForImageClassification.from_pretrained(folder).eval().requires_grad_(False)
        named = cast("dict[int, str]", self.network.config.id2label)
        labels = [named[index].split(": ") for index in range(len(named))]
        self.questions: dict[str, dict[str, int]] = {}
        for index, (question, answer) in enumerate(labels):
            self.questions.setdefault(question, {})[answer] = index

    @torch.no_grad()
    def __call__(self, pixels: Pixels) -> list[dict[str, str]]:
        """For each picture in [-1, 1] the likeliest answer to each question."""
        logits = torch.cat([self.network(pixel_values=part).logits for part in pixels.split(BATCH)])
        read = {
            question: [list(known)[i] for i in logits[:, list(known.values())].argmax(1).tolist()]
            for question, known in self.questions.items()
        }
        return [dict(zip(read, answers, strict=True)) for answers in zip(*read.values(), strict=True)]
