"""SimAC (Wang et al., CVPR 2024): ASPL at the times that matter for a picture, and on features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from apdm.backbones.base import Backbone, Condition
from apdm.cloaks.base import Cloak, CloakMaterial, Round
from apdm.cloaks.budget import Budget
from apdm.cloaks.objective import sample, sample_error
from apdm.cloaks.pgd import Ball, Climb, Objective
from apdm.cloaks.surrogate import alternating
from apdm.errors import at_least
from apdm.personalizers.base import Personalizer
from apdm.personalizers.dreambooth import DreamBooth
from apdm.schedules import discrete
from apdm.seeding import derive, generator
from apdm.types import Pixels, Scalar, Timesteps
from apdm.watch import Watch


@dataclass(frozen=True)
class SimAC(Cloak):
    """max over pictures of l + w |F(picture) - F(original)|^2 at ASPL's surrogate; F are the network's
    last residual outputs, each picture's times are drawn from a set chosen for it beforehand."""

    budget: Budget = Budget(16 / 255, (-1.0, 1.0))
    """How far from the photo a pixel may end [code: 16/255 of [-1, 1], 8 grey levels]."""
    step_size: Budget = Budget(0.005, (-1.0, 1.0))
    """How far a step moves it [code: 0.64 grey levels]."""
    steps: int = 6
    """Steps a round [code]."""
    rounds: int = 50
    """Rounds [code]."""
    feature_weight: float = 1.0
    """Weight of the feature term [our choice; in the released code the term has no gradient]."""
    selection_rounds: int = 50
    """Rounds of the choice of times at most [code]."""
    candidates: int = 5
    """Times compared in each [code]."""
    window: int = 20
    """Times to each side of the worst one that go with it [code]."""
    kept_times: int = 100
    """The choice ends when so many or fewer are left [code]."""
    surrogate: Personalizer = DreamBooth(learning_rate=5e-7, max_train_steps=3)
    """The attack that the surrogates are trained by; its steps are those of one lesson [code]."""

    learns = True

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, feature_weight=0, selection_rounds=0, candidates=2, window=1, kept_times=1)

    def against(
        self, backbone: Backbone, material: CloakMaterial, climb: Climb, seed: int, watch: Watch
    ) -> Round:
        with backbone.features():
            pass  # refuses before any work where there are none
        times = self.choose_times(backbone, material, seed, watch)

        def objective(model: Backbone) -> Objective:
            return self.interference(model, material, times)

        return alternating(backbone, self.surrogate, objective, material, climb, seed)

    def choose_times(
        self, backbone: Backbone, material: CloakMaterial, seed: int, watch: Watch
    ) -> list[Timesteps]:
        """The times for each picture, never none. Raises `InputError` where time is continuous."""
        condition = backbone.encode_prompts([material.instance_prompt]).detach()
        count = len(material.pixels)
        watch("times", 0, count, {})
        chosen = []
        for number in range(count):
            photo = material.pixels[number : number + 1]
            chosen.append(self.informative_times(backbone, photo, condition, derive(seed, "times", number)))
            watch("times", number + 1, count, {"kept": len(chosen[-1])})
        return chosen

    def informative_times(
        self, backbone: Backbone, photo: Pixels, condition: Condition, seed: int
    ) -> Timesteps:
        """All times, less those around the one that moves the photo [1 3 h w] least, again and again,
        while the photo climbs at the one that moves it most."""
        steps = discrete(backbone.schedule).steps
        ball = Ball(photo, self.budget.in_pixels)
        left, picture = torch.arange(steps), photo
        for number in range(self.selection_rounds):
            if len(left) <= self.kept_times:
                break
            draws = generator(seed, "candidates", number)
            tried = left[torch.randperm(len(left), generator=draws)[: self.candidates]]
            slopes = self._slopes(backbone, picture, condition, tried, draws)
            strength = slopes.abs().sum((1, 2, 3))
            best, worst = int(strength.argmax()), int(tried[strength.argmin()])
            picture = ball.step(picture, slopes[best : best + 1], self.step_size.in_pixels)
            rest = without(left, worst, self.window, steps)
            if len(rest) == 0:
                break
            left = rest
        return left

    def _slopes(
        self,
        backbone: Backbone,
        picture: Pixels,
        condition: Condition,
        times: Timesteps,
        draws: torch.Generator,
    ) -> Pixels:
        """The gradient of l in the picture at each of `times` [k], [k 3 h w]."""
        copies = picture.repeat(len(times), 1, 1, 1).requires_grad_()
        error = sample_error(backbone, sample(backbone, copies, draws, times.to(backbone.device)), condition)
        (slopes,) = torch.autograd.grad(error.flatten(1).mean(1).sum(), copies)
        return slopes

    def interference(self, model: Backbone, material: CloakMaterial, times: list[Timesteps]) -> Objective:
        """l + w |F(picture) - F(original)|^2, where both have the same noise and time."""
        condition = model.encode_prompts([material.instance_prompt]).detach()

        def objective(pictures: Pixels, draws: torch.Generator) -> Scalar:
            picks = [choice[torch.randint(len(choice), (1,), generator=draws)] for choice in times]
            t = torch.cat(picks).to(model.device)
            same_draws = draws.clone_state()
            with model.features() as features:
                error = sample_error(model, sample(model, pictures, draws, t), condition)
            with torch.no_grad(), model.features() as originals:
                sample_error(model, sample(model, material.pixels, same_draws, t), condition)
            return error.mean() + self.feature_weight * distance(features, originals)

        return objective


def without(times: Timesteps, worst: int, window: int, steps: int) -> Timesteps:
    """`times` less [worst - window, worst + window), moved so that it lies within the schedule."""
    middle = min(max(worst, window), steps - window)
    return times[(times < middle - window) | (times >= middle + window)]


def distance(features: list[Tensor], others: list[Tensor]) -> Scalar:
    """Mean squared difference, summed over the layers (the paper's norm, our reduction)."""
    pairs = zip(features, others, strict=True)
    return torch.stack([(mine - other).square().mean() for mine, other in pairs]).sum()
