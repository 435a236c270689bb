"""Direct Protective Optimization: prefer the paired positive to the protected subject."""

from __future__ import annotations

from enum import Enum

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from apdm.types import Errors, Scalar


class Reduction(Enum):
    """Over what the margin is taken before the sigmoid.

    The paper writes a squared norm over the sample (`SAMPLE_SUM`); the published code compares
    element by element (`ELEMENT`), and its beta only makes sense there. See docs/papers.md.
    """

    ELEMENT = "element"
    SAMPLE_MEAN = "sample_mean"
    SAMPLE_SUM = "sample_sum"


def direct_protective_loss(
    positive: Errors,
    positive_reference: Errors,
    negative: Errors,
    negative_reference: Errors,
    *,
    beta: float,
    reduction: Reduction,
    cap_positives: bool = False,
) -> Scalar:
    """L_DPO = -E log sigmoid(-beta (r+ - r-)), r = error - error of the frozen reference (eq. 14).

    `negative` belongs to the subject's images, `positive` to their paired positives, under the same
    noise, time and prompt; all four are unreduced errors [b c h w]. Minimising it raises the
    subject's error relative to the positive's. At the reference it is log 2.

    `cap_positives` is ours: the reduced r+ counts from 0 upwards only, so that the margin cannot be won
    by learning the positives by heart, only by failing on the subject. Losing them still costs; with
    `ELEMENT`, so does an error that only moves from element to element. (The
    mirror image of DPO-Positive's extra charge for losing the preferred answer, Pal et al. 2024.)
    """
    lost = _reduce(positive - positive_reference, reduction)
    if cap_positives:
        lost = lost.clamp(min=0)
    margin = lost - _reduce(negative - negative_reference, reduction)
    return -logsigmoid(-beta * margin).mean()


def _reduce(errors: Errors, reduction: Reduction) -> Float[Tensor, "..."]:
    if reduction is Reduction.ELEMENT:
        return errors
    per_sample = errors.flatten(1)
    return per_sample.mean(1) if reduction is Reduction.SAMPLE_MEAN else per_sample.sum(1)
