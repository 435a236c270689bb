"""What a protection works on: a subject's photos, their paired positives (APDM, sec. 3.2), and its class."""

from __future__ import annotations

from dataclasses import dataclass

from apdm.backbones.base import Backbone, EncodedImages, Sampling
from apdm.errors import InputError
from apdm.personalizers.base import Material, pictures
from apdm.seeding import derive
from apdm.types import Pixels
from apdm.watch import Watch, silent


@dataclass(frozen=True)
class ProtectionMaterial:
    """Negatives (the subject's pictures), their paired positives, and the class, all encoded.

    Negatives and positives have the same length: row i of the one is paired with row i of the other.
    """

    negatives: EncodedImages
    positives: EncodedImages
    prior: EncodedImages

    def __post_init__(self) -> None:
        if len(self.negatives) != len(self.positives):
            raise InputError(
                f"{len(self.negatives)} subject images but {len(self.positives)} paired positives",
                fix="give one positive for each subject image",
            )

    @property
    def attack(self) -> Material:
        """What the simulated attacker sees."""
        return Material(self.negatives, self.prior)


def protection_material(
    backbone: Backbone,
    subject: Pixels,
    positives: Pixels,
    prior: Pixels,
    instance_prompt: str,
    class_prompt: str,
) -> ProtectionMaterial:
    """Encodes what `protect` needs. The positives go under the *instance* prompt, as the negatives do."""
    return ProtectionMaterial(
        negatives=backbone.encode(subject, instance_prompt),
        positives=backbone.encode(positives, instance_prompt),
        prior=backbone.encode(prior, class_prompt),
    )


def paired_positives(
    backbone: Backbone,
    class_prompt: str,
    count: int,
    seed: int,
    sampling: Sampling,
    watch: Watch = silent,
    first: int = 0,
) -> Pixels:
    """`count` pictures of the class by the pristine model, one for each subject image (sec. 3.2). By their
    numbers, from `first` on, several subjects of a class have positives of their own."""
    seeds = [derive(seed, "positive", number) for number in range(first, first + count)]
    return pictures(backbone, [class_prompt] * count, seeds, sampling, watch)
