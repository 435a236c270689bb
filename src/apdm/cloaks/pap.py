"""PAP (Wan et al., NeurIPS 2024): raise the error over the prompts that an attacker may use, which are
modelled as a normal distribution around the text that fits the picture best."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from apdm.backbones.base import Backbone, Condition, draw_noise
from apdm.cloaks.base import Cloak, CloakMaterial, Round
from apdm.cloaks.budget import Budget
from apdm.cloaks.objective import Sample, sample, sample_error
from apdm.cloaks.pgd import Climb
from apdm.errors import at_least, positive
from apdm.seeding import derive
from apdm.types import Pixels, Scalar
from apdm.watch import Watch

RESOLUTION = torch.finfo(torch.float32).eps  # differences of losses around 1 below it say nothing


@dataclass(frozen=True)
class PAP(Cloak):
    """max over pictures of E l(picture, c), c ~ N(c_N, H^-1): Laplace's approximation of p(c | picture).

    At each step every picture gets one draw of latent, noise and time. At that draw the prompt's
    embedding c_0 descends l to c_N; one c is drawn, and the picture climbs l(picture, c)."""

    budget: Budget = Budget(0.05, (-1.0, 1.0))
    """How far from the photo a pixel may end [code: 0.05 of [-1, 1], 6.4 grey levels]."""
    step_size: Budget = Budget(1 / 255, (-1.0, 1.0))
    """How far a step moves it [code: 1/255 of [-1, 1], 0.5 grey levels]."""
    steps: int = 120
    """Steps a round [code: 20 x 6]."""
    rounds: int = 1
    """Rounds, after each of which the models of an ensemble are averaged [our choice: one]."""
    text_steps: int = 20
    """Gradient steps from the prompt's embedding to the text that fits best [code]."""
    text_rate: float = 1000.0
    """Their rate, on each picture's mean error; fits Stable Diffusion's text encoder [code]."""
    released_deviation: bool = False
    """The released code's deviation, h^2 for sqrt(h) (docs/papers.md); for comparison only."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, text_steps=0)
        positive(self, "text_rate")

    def against(
        self, backbone: Backbone, material: CloakMaterial, climb: Climb, seed: int, watch: Watch
    ) -> Round:
        prompt = backbone.encode_prompts([material.instance_prompt]).detach()

        def objective(pictures: Pixels, draws: torch.Generator) -> Scalar:
            at = sample(backbone, pictures, draws)
            fitting, variance = self.texts(backbone, at.detach(), prompt.repeat(len(pictures)))
            return sample_error(backbone, at, drawn(fitting, variance, draws)).mean()

        return lambda pictures, number: climb(pictures, objective, derive(seed, "round", number))

    def texts(
        self, backbone: Backbone, at: Sample, prompt: Condition
    ) -> tuple[Condition, Float[Tensor, "b"]]:
        """Mean c_N and variance of the texts for each picture, from a row of `prompt` c_0 for each."""

        def error(condition: Condition) -> Float[Tensor, "b"]:
            return sample_error(backbone, at, condition).flatten(1).mean(1)

        fitting = prompt
        for _ in range(self.text_steps):
            slope = fitting.gradient(lambda condition: error(condition).sum())
            fitting = fitting.map(lambda part, down: part - self.text_rate * down, slope)
        with torch.no_grad():
            fall = error(prompt) - error(fitting)
        moved = (prompt.flat() - fitting.flat()).square().mean(1)
        variance = laplace_variance(moved, fall)
        return fitting, variance**4 if self.released_deviation else variance


def laplace_variance(moved: Float[Tensor, "b"], fall: Float[Tensor, "b"]) -> Float[Tensor, "b"]:
    """The variance of each number of c, h = |c_0 - c_N|^2 / (2 |l_0 - l_N|), the squared norm a mean.

    From l_0 = l_N + |c_0 - c_N|^2 / (2 h), the isotropic bowl through both; h is Laplace's *covariance*,
    the inverse of the curvature, as the paper's formula has it. Where the text has not moved it is 0, and
    the step is plain ascent at c_N; a fall that float32 cannot resolve counts as the smallest that it can.
    """
    return moved / (2 * fall.abs().clamp(min=RESOLUTION))


def drawn(mean: Condition, variance: Float[Tensor, "b"], draws: torch.Generator) -> Condition:
    """One text for each picture."""

    def draw(part: Tensor) -> Tensor:
        deviation = variance.sqrt().view(-1, *[1] * (part.dim() - 1))
        return part + deviation * draw_noise(part, draws)

    return mean.map(draw)
