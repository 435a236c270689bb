"""Direct Protective Optimization by arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from apdm.losses.dpo import Reduction, direct_protective_loss
from apdm.seeding import generator

REDUCTIONS = list(Reduction)
COUNT = 12  # elements a sample


def softplus(x: float) -> float:
    """-log sigmoid(-x)."""
    return math.log1p(math.exp(x))


def two_samples() -> tuple[list[float], list[Tensor]]:
    """Positive, its reference, negative, its reference: two samples of two elements, and the margins."""
    rows = [[1.0, 2.0, 0.5, 4.0], [0.5, 2.5, 1.0, 1.0], [3.0, 1.0, 2.0, 0.0], [1.0, 2.0, 0.5, 1.0]]
    # (1 - .5) - (3 - 1), (2 - 2.5) - (1 - 2), (.5 - 1) - (2 - .5), (4 - 1) - (0 - 1)
    return [-1.5, 0.5, -2.0, 4.0], [torch.tensor(row).view(2, 1, 1, 2) for row in rows]


EXPECTED: dict[Reduction, Callable[[list[float], float], float]] = {
    Reduction.ELEMENT: lambda m, beta: sum(softplus(beta * x) for x in m) / 4,
    Reduction.SAMPLE_MEAN: lambda m, beta: sum(softplus(beta * sum(s) / 2) for s in (m[:2], m[2:])) / 2,
    Reduction.SAMPLE_SUM: lambda m, beta: sum(softplus(beta * sum(s)) for s in (m[:2], m[2:])) / 2,
}


@pytest.mark.parametrize("beta", [1.0, 0.3])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_loss_is_the_formula(reduction: Reduction, beta: float) -> None:
    margins, errors = two_samples()
    loss = direct_protective_loss(*errors, beta=beta, reduction=reduction)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(EXPECTED[reduction](margins, beta))


CAPPED: dict[Reduction, list[float]] = {
    # r+ is .5, -1.5 and -.5, 3; r- is 2, -1 and 1.5, -1: what is capped is each, or each sample's mean or sum
    Reduction.ELEMENT: [0.5 - 2, 0 + 1, 0 - 1.5, 3 + 1],
    Reduction.SAMPLE_MEAN: [0.0 - 0.5, 1.25 - 0.25],
    Reduction.SAMPLE_SUM: [0.0 - 1.0, 2.5 - 0.5],
}


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_capped_positive_counts_from_its_reference_upwards(reduction: Reduction) -> None:
    _, errors = two_samples()
    errors[0] = torch.tensor([1.0, 1.0, 0.5, 4.0]).view(2, 1, 1, 2)
    loss = direct_protective_loss(*errors, beta=0.3, reduction=reduction, cap_positives=True)
    margins = CAPPED[reduction]
    assert loss.item() == pytest.approx(sum(softplus(0.3 * m) for m in margins) / len(margins))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_capped_the_margin_cannot_be_won_by_learning_positives_by_heart(reduction: Reduction) -> None:
    reference, subject = torch.ones(2, 1, 1, 2), torch.full((2, 1, 1, 2), 0.5)

    def loss(positive: float) -> float:
        errors = (torch.full((2, 1, 1, 2), positive), reference, subject, reference)
        return direct_protective_loss(*errors, beta=1.0, reduction=reduction, cap_positives=True).item()

    assert loss(0.1) == loss(1.0)
    assert loss(1.1) > loss(1.0)


def test_it_prefers_the_positive() -> None:
    """The loss falls when the subject's error rises and when the positive's falls."""

    def loss(positive: Tensor, negative: Tensor) -> Tensor:
        settings = {"beta": 1.0, "reduction": Reduction.ELEMENT}
        return direct_protective_loss(positive, positive_reference, negative, negative_reference, **settings)

    _, (positive, positive_reference, negative, negative_reference) = two_samples()
    assert loss(positive, negative + 0.1) < loss(positive, negative)
    assert loss(positive - 0.1, negative) < loss(positive, negative)


class Pair:
    """Errors of the linear model weight * z against targets, as functions of the weight (3 samples)."""

    def __init__(self) -> None:
        draws = torch.randn(4, 3, 3, 2, 2, generator=generator(0))
        self.positive, self.positive_target, self.negative, self.negative_target = draws
        self.weight = torch.tensor(0.7, requires_grad=True)

    def errors(self) -> tuple[Tensor, Tensor]:
        return (
            (self.weight * self.positive - self.positive_target).square(),
            (self.weight * self.negative - self.negative_target).square(),
        )

    def loss_at_reference(self, beta: float, reduction: Reduction) -> Tensor:
        positive, negative = self.errors()
        return direct_protective_loss(
            positive, positive.detach(), negative, negative.detach(), beta=beta, reduction=reduction
        )

    def gradient(self, loss: Tensor) -> float:
        return torch.autograd.grad(loss, self.weight)[0].item()


@pytest.mark.parametrize("beta", [0.1, 1.0, 100.0])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_at_the_reference_the_loss_is_log_2(reduction: Reduction, beta: float) -> None:
    assert Pair().loss_at_reference(beta, reduction).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("beta", [1.0, 10.0])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_at_the_reference_the_gradient_is_half_beta_times_the_difference(
    reduction: Reduction, beta: float
) -> None:
    pair = Pair()
    positive, negative = pair.errors()
    difference = pair.gradient(positive.mean() - negative.mean())
    per_element = COUNT if reduction is Reduction.SAMPLE_SUM else 1  # a sum is its mean so many times
    found = pair.gradient(pair.loss_at_reference(beta, reduction))
    assert found == pytest.approx(per_element * beta / 2 * difference, rel=1e-4)


def test_a_sum_with_beta_is_a_mean_with_beta_times_the_elements() -> None:
    _, errors = two_samples()
    total = direct_protective_loss(*errors, beta=0.3, reduction=Reduction.SAMPLE_SUM)
    mean = direct_protective_loss(*errors, beta=0.6, reduction=Reduction.SAMPLE_MEAN)
    assert total.item() == pytest.approx(mean.item())


def test_far_margins_stay_finite() -> None:
    zero, far = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), 1e4)
    settings = {"beta": 10.0, "reduction": Reduction.SAMPLE_SUM}
    assert direct_protective_loss(far, zero, zero, zero, **settings).item() == pytest.approx(1e5)
    assert direct_protective_loss(zero, zero, far, zero, **settings).item() == 0
