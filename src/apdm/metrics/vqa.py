"""Visual question answering by BLIP or ViLT, as TIFA's answerer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForVisualQuestionAnswering, AutoProcessor

from apdm.metrics.base import digest
from apdm.metrics.pretrained import complete, local_first, short_name
from apdm.pixels import to_images
from apdm.types import Pixels

BLIP = "Salesforce/blip-vqa-capfilt-large"
WORDS = 10  # tokens of an answer at most; our choice, those of VQA have three or fewer


class QuestionAnswerer:
    """`Answerer` with any BLIP (generates) or ViLT (classifies) trained for VQA, by folder or hub id.

    One question at a time: BLIP's decoder attends to what pads a shorter question of a batch, so that an
    answer would depend on its neighbours. Raises `InputError` if there is no complete one to load.
    """

    def __init__(self, source: str | Path = BLIP) -> None:
        self.network, self.processor = local_first(_load, source, "VQA network")
        self.name = short_name(source)
        self.fingerprint = digest(self.network.state_dict().values())

    def __call__(self, pixels: Pixels, questions: Sequence[str]) -> list[str]:
        return [self._answer(*pair) for pair in zip(to_images(pixels), questions, strict=True)]

    @torch.no_grad()
    def _answer(self, image: Any, question: str) -> str:
        asked = self.processor(images=image, text=question, return_tensors="pt").to(self.network.device)
        if self.network.config.model_type == "vilt":
            return self.network.config.id2label[int(self.network(**asked).logits.argmax())]
        tokens = self.network.generate(**asked, max_new_tokens=WORDS, do_sample=False)
        return self.processor.decode(tokens[0], skip_special_tokens=True).strip()


def _load(source: str, local: bool) -> tuple[Any, Any]:
    kind, fix = AutoModelForVisualQuestionAnswering, f"give a BLIP or ViLT for VQA, e.g. {BLIP}"
    network = complete(kind, source, local, ("blip", "vilt"), fix)
    return network, AutoProcessor.from_pretrained(source, local_files_only=local, backend="pil")
