"""The model card of a protected or personalised model. It names no person and no photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apdm.benchmark.store import leaves

THREAT_MODEL = (
    "It was measured to resist, or not, only the attacks listed in a report made with it.",
    "It does nothing against someone who holds the original weights.",
    "It claims nothing about adapters that need no training (IP-Adapter, InstantID, PhotoMaker).",
)


def protected_card(
    base_model: str,
    subjects: Sequence[tuple[str, int]],
    settings: Mapping[str, Any],
    method: str = "APDM (NeurIPS 2025)",
) -> str:
    """For a model made by `apdm protect` from `base_model` against `subjects`, each a class noun and how many
    photos it is known from; `method` is what protects it."""
    known = ", or ".join(f"one {class_noun}, known from {photos} photos" for class_noun, photos in subjects)
    return "\n".join(
        [
            "---",
            f"base_model: {base_model}",
            "library_name: diffusers",
            "pipeline_tag: text-to-image",
            "tags: [apdm, protected]",
            "---",
            "",
            f"# {base_model}, protected",
            "",
            f"Against being taught {known}, by fine-tuning, these "
            f"weights were protected by {method}. How well they resist is a matter of measurement.",
            "",
            "## What this protects against, and what not",
            *(f"- {line}" for line in THREAT_MODEL),
            "",
            "## Settings",
            *settings_lines(settings),
            "",
            "The licence is that of the base model.",
            "",
        ]
    )


def personalised_card(base_model: str, method: str, instance_prompt: str, settings: Mapping[str, Any]) -> str:
    """For a model made by `apdm personalize`."""
    return "\n".join(
        [
            "---",
            f"base_model: {base_model}",
            "library_name: diffusers",
            "pipeline_tag: text-to-image",
            f"tags: [apdm, attacked, {method}]",
            "---",
            "",
            f"# {base_model}, personalised",
            "",
            f'{method} on "{instance_prompt}", made to measure how well the base model resists.',
            "",
            "## Settings",
            *settings_lines(settings),
            "",
            "The licence is that of the base model.",
            "",
        ]
    )


def exported_card(base_model: str) -> str:
    """For a model written anew by `apdm export`."""
    return "\n".join(
        [
            "---",
            f"base_model: {base_model}",
            "library_name: diffusers",
            "pipeline_tag: text-to-image",
            "---",
            "",
            f"# {base_model}",
            "",
            "Its weights as they were, in another form. The licence is that of the base model.",
            "",
        ]
    )


def settings_lines(settings: Mapping[str, Any]) -> list[str]:
    """One list item a setting; nested ones with dots."""
    return [f"- {name}: {value}" for name, value in leaves(settings).items()]
