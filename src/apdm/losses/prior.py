"""Prior preservation: the class must stay what it was."""

from __future__ import annotations

from apdm.types import Errors, Scalar


def with_prior(instance: Errors, prior: Errors, weight: float) -> Scalar:
    """mean(instance) + weight * mean(prior), as DreamBooth (Ruiz et al. 2023, eq. 2) and its diffusers
    script: two means, so the two batches weigh the same whatever their sizes."""
    return instance.mean() + weight * prior.mean()
