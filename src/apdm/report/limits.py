"""What a report must say beside its figures: what was not tested, and what is claimed at all."""

from __future__ import annotations

import re

from apdm.benchmark.record import Result
from apdm.report.verdict import attacks_named, class_figures

ATTACKERS = {  # by what they are called in a record's attacks; a DreamBooth-LoRA is the first of its two
    "LoRA": "low-rank adapters",
    "DreamBooth": "DreamBooth with full fine-tuning",
    "Custom Diffusion": "Custom Diffusion",
    "Textual Inversion": "Textual Inversion",
}


def not_tested(result: Result) -> tuple[str, ...]:
    """A sentence for each. Attackers are named only where the record says which one was there."""
    others = [words for name, words in ATTACKERS.items() if name not in _attackers(result)]
    named = f": {', '.join(others)}" if 0 < len(others) < len(ATTACKERS) else ""
    sentences = (
        f"Any attacker not listed above{named}.",
        "An attacker who adapts: more steps, a higher learning rate, another identifier or class noun, other "
        "or cleaned pictures, a harmless fine-tuning first.",
        "Training-free adapters (IP-Adapter, InstantID, PhotoMaker).",
        _untested_skills(result),
    )
    return (*sentences, "Photographs, and models of full size.") if result.toy else sentences


def _attackers(result: Result) -> set[str]:
    said = [part for attack in result.attacks for part in re.split(r"[,;+]| and ", attack.lower())]
    firsts = (next((name for name in ATTACKERS if name.lower() in part), None) for part in said)
    return {name for name in firsts if name}


def _untested_skills(result: Result) -> str:
    of_class = all(class_figures(subject) for subject in result.subjects)
    another = any(subject.other_subject_strength_ratio for subject in result.subjects)
    known = ["class pictures"] * of_class + ["the one other subject shown here"] * another
    rest = ["following long prompts", "counting", "composing"]
    rest = ["class pictures"] * (not of_class) + rest + ["other subjects"] * (not another)
    beyond = f" beyond {' and '.join(known)}" if known else ""
    return f"What else the model can do{beyond}: {', '.join(rest)}."


def threat_model(result: Result) -> tuple[str, str, str]:
    """In three lines."""
    return (
        "This protects weights that are not yet public, or that are served behind a fine-tuning interface.",
        "It does nothing against someone who holds the original weights.",
        "It claims nothing about training-free adapters, and nothing beyond measured resistance under "
        f"{attacks_named(result.attacks)}.",
    )
