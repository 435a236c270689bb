"""What a report must say beside its figures: what was not tested, and what is claimed at all."""

from __future__ import annotations

from apdm.benchmark.record import Result
from apdm.report.verdict import attacks_named

ATTACKERS = {  # by what they are called in a record's attacks
    "DreamBooth": "DreamBooth",
    "LoRA": "low-rank adapters",
    "Custom Diffusion": "Custom Diffusion",
    "Textual Inversion": "Textual Inversion",
}


def not_tested(result: Result) -> tuple[str, ...]:
    """A sentence for each. Attackers are named only where the record says which one was there."""
    said = " ".join(result.attacks).lower()
    others = [words for name, words in ATTACKERS.items() if name.lower() not in said]
    named = f": {', '.join(others)}" if 0 < len(others) < len(ATTACKERS) else ""
    another = any(subject.other_subject_strength_ratio for subject in result.subjects)
    known = "class pictures and the one other subject shown here" if another else "class pictures"
    rest = "following long prompts, counting, composing" + ("" if another else ", other subjects")
    sentences = (
        f"Any attacker not listed above{named}.",
        "An attacker who adapts: more steps, a higher learning rate, another identifier or class noun, other "
        "or cleaned pictures, a harmless fine-tuning first.",
        "Training-free adapters (IP-Adapter, InstantID, PhotoMaker).",
        f"What else the model can do beyond {known}: {rest}.",
    )
    return (*sentences, "Photographs, and models of full size.") if result.toy else sentences


def threat_model(result: Result) -> tuple[str, str, str]:
    """In three lines."""
    return (
        "This protects weights that are not yet public, or that are served behind a fine-tuning interface.",
        "It does nothing against someone who holds the original weights.",
        "It claims nothing about training-free adapters, and nothing beyond measured resistance under "
        f"{attacks_named(result.attacks)}.",
    )
