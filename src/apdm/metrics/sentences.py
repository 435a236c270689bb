"""Sentences as vectors whose cosine says how near they are in meaning (Reimers & Gurevych 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer

from apdm.metrics.base import digest
from apdm.metrics.pretrained import complete, local_first, short_name

MPNET = "sentence-transformers/all-mpnet-base-v2"  # TIFA's
TYPES = ("mpnet", "bert", "roberta", "xlm-roberta")  # those that are pooled by the mean


class MeanPooledEncoder:
    """`SentenceEncoder`: the mean of a text encoder's last states over a text's tokens, at unit length.

    For sentence encoders that were trained so; by folder or hub id. Raises `InputError` if there is no
    complete one to load.
    """

    def __init__(self, source: str | Path = MPNET) -> None:
        self.network, self.tokenizer = local_first(_load, source, "sentence encoder")
        self.name = short_name(source)
        self.fingerprint = digest(self.network.state_dict().values())

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        tokens = tokens.to(self.network.device)
        states = self.network(**tokens).last_hidden_state
        held = tokens["attention_mask"][:, :, None].to(states.dtype)
        return normalize((states * held).sum(1) / held.sum(1), dim=1).cpu()


def _load(source: str, local: bool) -> tuple[Any, Any]:
    network = complete(AutoModel, source, local, TYPES, f"give a sentence encoder, e.g. {MPNET}")
    return network, AutoTokenizer.from_pretrained(source, local_files_only=local)
