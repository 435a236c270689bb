"""APDM (NeurIPS 2025, "Perturb a Model, Not an Image"): DPO inside Learning to Protect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

import torch

from apdm.backbones.base import Backbone, Condition, batches, draw_noise
from apdm.errors import InputError, at_least, positive
from apdm.losses.denoising import denoising_error
from apdm.losses.dpo import Reduction, direct_protective_loss
from apdm.optimizers import adamw, finite, moments
from apdm.personalizers.base import Personalizer
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.anchor import add_anchor
from apdm.protectors.l2p import LookAhead
from apdm.protectors.material import ProtectionMaterial
from apdm.protectors.pairs import Noised, ReferenceBank
from apdm.ranks import average
from apdm.seeding import derive, generator
from apdm.steps import PROTECTED, State, Steps, all_steps
from apdm.types import Errors, Scalar
from apdm.watch import Watch, silent


@dataclass(frozen=True)
class APDM:
    """Settings of a protection. The defaults are the published ones (sec. 4.1 and the released code)."""

    beta: float = 1.0
    """Temperature of the DPO loss [sec. 4.1]."""
    reduction: Reduction = Reduction.ELEMENT
    """What the margin is taken over before the sigmoid [released code; the paper's norm is sample_sum]."""
    cap_positives: bool = False
    """Count the positives' part of the margin from 0 upwards, so that learning them by heart wins nothing
    [off as published; on is ours]."""
    paired: bool = True
    """Compare each photo with its own positive at the same noise and time [sec. 3.2]; off, with class images
    at noise and times of their own, the ablation of table 4."""
    dpo_weight: float = 1.0
    """Weight of the DPO term [1 as in eq. 15; 0 is the placebo that protects nothing]."""
    prior_loss_weight: float = 1.0
    """Weight of the class images' loss [eq. 15]."""
    learning_rate: float = 5e-6
    """Of the protected weights' AdamW, constant [sec. 4.1]."""
    outer_steps: int = 800
    """Updates of the protected weights, N_protect [sec. 4.1]."""
    inner_steps: int = 20
    """Simulated attack steps before each update, N_per [sec. 4.1]; 0 descends the loss at the protected
    weights themselves, the ablation of table 5."""
    train_batch_size: int = 1
    """Pairs, and as many class images, a step [sec. 4.1]."""
    num_class_images: int = 200
    """Class images for the prior and the simulated attack [released code]."""
    simulated: Personalizer = field(default_factory=DreamBooth)
    """The attack that is looked ahead to: `inner_steps` of its steps at a time, its gradients not clipped
    [as published]."""
    restart_every: int = 1
    """Look-aheads after which the simulated attack starts anew [1 as published; more is ours]."""
    anchor_weight: float = 0.0
    """Weight of the anchor, which keeps what the protected model itself predicts for class images as the
    unprotected one does [0 as published; more is ours]."""
    anchor_batch_size: int = 8
    """Class images of the anchor a step [our choice]."""
    subjects_per_update: int = 0
    """Subjects whose look-aheads make one update, in turn; 0: all, so that an update's cost grows with their
    number [the paper has one subject; several are ours]."""
    reference_draws: int = 0
    """Noise and times that pairs are given beforehand, with the reference's errors at them, for all steps
    [0 as published: anew at each step; more is ours]."""
    leak: bool = False
    """The released code's gradient leak (docs/papers.md); for comparison only."""

    def __post_init__(self) -> None:
        positive(self, "beta", "learning_rate")
        at_least(self, outer_steps=1, inner_steps=0, train_batch_size=1, num_class_images=1)
        at_least(self, dpo_weight=0, prior_loss_weight=0, restart_every=1)
        at_least(self, anchor_weight=0, anchor_batch_size=1, reference_draws=0, subjects_per_update=0)
        if self.reference_draws and self.simulated.learns_prompts:
            what = "the simulated attack learns its prompts, and reference errors hold for unchanged ones"
            raise InputError(what, fix="set reference_draws to 0")


PUBLISHED = APDM()
BANK_BATCH = 8  # pictures at a time; bounds memory


def protection_loss(
    model: Backbone,
    reference: Backbone,
    material: ProtectionMaterial,
    config: APDM,
    draws: torch.Generator,
    bank: ReferenceBank | None = None,
) -> Scalar:
    """L_protect = L_DPO + w L_ppl (eq. 15) on a batch drawn from `material`.

    One pass carries positives, negatives and class images, all seen under what the simulated attack has
    made of their prompts; the reference too. From a `bank` come the pairs and the reference's errors.
    """
    size = config.train_batch_size
    pairs, prior = draw_batch(model, material, size, config.paired, draws)
    with torch.no_grad():
        instance, class_condition = (
            config.simulated.condition(model, images).repeat(rows)
            for images, rows in ((material.negatives, 2 * size), (material.prior, size))
        )
    if bank is None:  # with one, the drawn pairs go for nothing; the class images stay what they were
        before = errors_before(reference, pairs, instance)
    else:
        pairs, before = bank.choose(size, draws)

    batch = Noised.cat([pairs, prior])
    condition = Condition.cat([instance, class_condition])
    errors = denoising_error(model, batch.clean, condition, batch.noise, batch.t)
    dpo = direct_protective_loss(
        errors[:size],
        before[:size],
        errors[size : 2 * size],
        before[size:],
        beta=config.beta,
        reduction=config.reduction,
        cap_positives=config.cap_positives,
    )
    return config.dpo_weight * dpo + config.prior_loss_weight * errors[2 * size :].mean()


def draw_batch(
    model: Backbone, material: ProtectionMaterial, size: int, paired: bool, draws: torch.Generator
) -> tuple[Noised, Noised]:
    """`size` positives and then their negatives, and as many class images.

    Both members of a pair get the same noise and the same time (as the released code does). Unpaired,
    neither is shared: table 4's ablation, whose positives are any class images, at noise and times of
    their own, and have nothing in common with the photos that they are compared with.
    """
    rows = material.negatives.choose(size, draws)
    positive = material.positives.moments.sample(rows, draws)
    negative = material.negatives.moments.sample(rows, draws)
    prior = material.prior.moments.sample(material.prior.choose(size, draws), draws)

    pair_noise, prior_noise = draw_noise(positive, draws), draw_noise(prior, draws)
    pair_times, prior_times = (model.schedule.sample_times(size, draws) for _ in range(2))
    positives = Noised(positive, pair_noise, pair_times)
    if not paired:
        clean = material.prior.moments.sample(material.prior.choose(size, draws), draws)
        positives = Noised(clean, draw_noise(clean, draws), model.schedule.sample_times(size, draws))
    negatives = Noised(negative, pair_noise, pair_times)
    return Noised.cat([positives, negatives]), Noised(prior, prior_noise, prior_times)


@torch.no_grad()
def errors_before(reference: Backbone, pairs: Noised, condition: Condition) -> Errors:
    """The unprotected model's."""
    return denoising_error(reference, pairs.clean, condition, pairs.noise, pairs.t)


def fill_bank(reference: Backbone, material: ProtectionMaterial, config: APDM, seed: int) -> ReferenceBank:
    """`config.reference_draws` pairs, and what the reference makes of them."""
    draws = generator(seed, "reference bank")
    pairs, _ = draw_batch(reference, material, config.reference_draws, config.paired, draws)
    errors = [
        errors_before(reference, rows, material.negatives.condition.repeat(len(rows.t)))
        for rows in (pairs[piece] for piece in batches(2 * config.reference_draws, BANK_BATCH))
    ]
    return ReferenceBank(pairs, torch.cat(errors))


def protect(
    backbone: Backbone,
    subjects: Sequence[ProtectionMaterial],
    config: APDM,
    seed: int,
    watch: Watch = silent,
    steps: Steps = all_steps,
) -> Backbone:
    """A copy of `backbone` that resists being personalised on any of `subjects`, one or several.

    `backbone` is the frozen reference phi and stays as it is, bit for bit. `steps` may keep the loop's state
    between two updates and take it up again. Raises `Diverged` for a loss that is not finite.
    """
    protected = backbone.copy()
    if backbone.execution.offload:
        rest(protected)
    weights = protected.network.requires_grad_(True).parameters()
    optimizer = adamw(weights, config.learning_rate, backbone.execution.use_8bit_adam)
    turns = turns_of(protected, backbone, subjects, config, seed)
    state = {PROTECTED: protected.weights(), "optimizer": moments(optimizer), **carried(turns)}
    watch("protect", 0, config.outer_steps, {})
    for step in steps(config.outer_steps, state):
        figures = gather(turns, step)
        average(protected.network.parameters())
        optimizer.step()
        optimizer.zero_grad(set_to_none=not backbone.execution.offload)
        watch("protect", step + 1, config.outer_steps, figures)
    protected.network.requires_grad_(False).zero_grad()
    move(protected, backbone.device)
    return protected


def rest(protected: Backbone) -> None:
    """Brings the weights to the host, and makes their gradients there once."""
    move(protected, torch.device("cpu"))
    for weight in protected.network.parameters():
        weight.grad = torch.zeros_like(weight)


def move(protected: Backbone, device: torch.device) -> None:
    """Weights that have no gradient, as `Module.to` would; which fake tensors do not like."""
    for weight in protected.network.parameters():
        weight.data = weight.data.to(device)


@dataclass(frozen=True)
class Turn:
    """What one subject adds to an update of the protected weights.

    One simulated attack on all subjects together is not the attack that comes, so each has look-aheads of its
    own (our choice).
    """

    protected: Backbone
    reference: Backbone
    material: ProtectionMaterial
    config: APDM
    seed: int
    ahead: LookAhead | None
    """None without L2P (table 5): the gradients are then those at the protected weights themselves."""
    bank: ReferenceBank | None

    def gather(self, number: int) -> dict[str, float]:
        """Adds the gradients of turn `number`, from 0, to the protected weights'; tells its mean losses."""
        now = derive(self.seed, "protect", number)
        if self.ahead:
            walked = self.ahead.gather(self.material.attack, self.loss, now, number)
            figures = {"personalization_loss": walked.personalization, "protection_loss": walked.protection}
        else:
            penalty = self.loss(self.protected, generator(now, "protection", 0))
            figures = {"protection_loss": finite(penalty, "the protection", number + 1)}
            penalty.backward()
        if self.config.anchor_weight > 0:
            weight, size = self.config.anchor_weight, self.config.anchor_batch_size
            draws = generator(self.seed, "anchor", number)
            add_anchor(self.protected, self.reference, self.material.prior, weight, size, draws, number)
        return figures

    def loss(self, model: Backbone, draws: torch.Generator) -> Scalar:
        return protection_loss(model, self.reference, self.material, self.config, draws, self.bank)

    def carried(self) -> State:
        """What one turn leaves to the next."""
        return self.ahead.state() if self.ahead else {}


def turns_of(
    protected: Backbone, reference: Backbone, subjects: Sequence[ProtectionMaterial], config: APDM, seed: int
) -> list[Turn]:
    """One for each subject. Look-aheads that start anew each time leave nothing behind: all share one."""

    def look_ahead() -> LookAhead | None:
        if config.inner_steps == 0:
            return None
        beside = reference if reference.execution.offload else None
        attack, restart = config.simulated, config.restart_every
        return LookAhead(protected, attack, config.inner_steps, config.leak, restart, seed, beside)

    shared = look_ahead() if config.restart_every == 1 else None
    turns = list[Turn]()
    for place, material in enumerate(subjects):
        own = subject_seed(seed, place)
        bank = fill_bank(reference, material, config, own) if config.reference_draws else None
        turns.append(Turn(protected, reference, material, config, own, shared or look_ahead(), bank))
    return turns


def subject_seed(seed: int, place: int) -> int:
    """Of what is drawn for the subject at `place`: the first draws what it would draw alone."""
    return derive(seed, "subject", place) if place else seed


def gather(turns: Sequence[Turn], step: int) -> dict[str, float]:
    """Adds the gradients of update `step`: their mean over the subjects whose turn it is (our choice). Tells
    its mean losses."""
    each = turns[0].config.subjects_per_update or len(turns)
    numbers = range(step * each, (step + 1) * each)
    told = [turns[number % len(turns)].gather(number // len(turns)) for number in numbers]
    if each > 1:
        for weight in turns[0].protected.network.parameters():
            if weight.grad is not None:
                weight.grad /= each
    return {name: fmean(losses[name] for losses in told) for name in told[0]}


def carried(turns: Sequence[Turn]) -> State:
    """What the subjects' look-aheads carry from one update to the next, by names of their own."""
    return {
        f"{name}-{place}" if place else name: tensors
        for place, turn in enumerate(turns)
        for name, tensors in turn.carried().items()
    }
