"""Projected gradient steps on pictures (Madry et al., ICLR 2018): the way that all cloaks move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from apdm.optimizers import finite
from apdm.seeding import generator
from apdm.types import Pixels, Scalar
from apdm.watch import Watch

Objective = Callable[[Pixels, torch.Generator], Scalar]  # what the pictures should make large


@dataclass(frozen=True)
class Ball:
    """Every picture that differs from `center` [b 3 h w] by `radius` at most in each value, and lies in
    [-1, 1]."""

    center: Pixels
    radius: float

    def project(self, pictures: Pixels) -> Pixels:
        """The nearest pictures in the ball."""
        low, high = self.center - self.radius, self.center + self.radius
        return pictures.clamp(low, high).clamp(-1, 1)

    def step(self, pictures: Pixels, gradient: Pixels, size: float) -> Pixels:
        """`size` along the gradient's sign in each value, and back into the ball."""
        return self.project(pictures + size * gradient.sign())

    def anywhere(self, draws: torch.Generator) -> Pixels:
        """Uniform in the ball."""
        shift = 2 * torch.rand(self.center.shape, generator=draws) - 1
        return self.project(self.center + self.radius * shift.to(self.center))


class Climb:
    """Sign-step ascent inside a ball. Counts its steps over all rounds and models, and tells them."""

    def __init__(self, ball: Ball, step_size: float, steps: int, total: int, watch: Watch) -> None:
        self.ball, self.step_size, self.steps = ball, step_size, steps
        self.done, self.total, self.watch = 0, total, watch
        watch("cloak", 0, total, {})

    def __call__(self, pictures: Pixels, objective: Objective, seed: int) -> Pixels:
        """`pictures` after `steps` steps up `objective`, each with draws of its own."""
        for step in range(self.steps):
            leaf = pictures.detach().requires_grad_()
            height = objective(leaf, generator(seed, "climb", step))
            value = finite(height, "the cloak", self.done + 1, fix="lower the rates of its settings")
            (gradient,) = torch.autograd.grad(height, leaf)
            pictures = self.ball.step(leaf.detach(), gradient, self.step_size)
            self.done += 1
            self.watch("cloak", self.done, self.total, {"objective": value})
        return pictures
