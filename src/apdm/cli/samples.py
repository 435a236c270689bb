"""Grids of samples on the way, of one prompt and the same seeds every time, so that they can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from apdm.backbones.base import Backbone, Sampling
from apdm.errors import at_least
from apdm.personalizers.base import pictures
from apdm.pixels import grid, save_png
from apdm.prompts import checked
from apdm.ranks import first
from apdm.seeding import derive
from apdm.steps import PROTECTED, State, Steps

SAMPLES = "samples"


@dataclass(frozen=True)
class Validation:
    """Grids of samples on the way, in OUTPUT_DIR/samples, the first of them by the model as it was."""

    validation_prompt: str | None = None
    """Draw a grid of this prompt before the first step, on the way and after the last [none in diffusers'
    scripts either]."""
    validation_steps: int = 100
    """Steps from one grid to the next [diffusers' script]."""
    num_validation_images: int = 4
    """Pictures in a grid [diffusers' script]."""

    def __post_init__(self) -> None:
        at_least(self, validation_steps=1, num_validation_images=1)
        if self.validation_prompt is not None:
            _ = checked(self.validation_prompt)


@dataclass(frozen=True)
class Samples:
    """The grids of one run."""

    wanted: Validation
    seed: int
    sampling: Sampling
    output_dir: Path

    def due(self, total: int) -> list[int]:
        """After how many of `total` steps a grid is drawn; none where no prompt is given."""
        if self.wanted.validation_prompt is None:
            return []
        return [*range(0, total, self.wanted.validation_steps), total]

    def draw(self, model: Backbone, step: int) -> None:
        """What `model` draws after `step` steps."""
        count, prompt = self.wanted.num_validation_images, self.wanted.validation_prompt or ""
        seeds = [derive(self.seed, "validation", number) for number in range(count)]
        drawn = pictures(model, [prompt] * count, seeds, self.sampling)
        if first():
            save_png(grid(drawn, columns=count), self.output_dir / SAMPLES, "step", first=step)

    def along(self, steps: Steps, backbone: Backbone) -> Steps:
        """`steps` of a protection of `backbone`, looked at between them."""

        def looked_at(total: int, state: State) -> Iterator[int]:
            due = self.due(total)
            for step in steps(total, state):
                if step == 0 and due:
                    self.draw(backbone, 0)
                yield step
                if step + 1 in due:
                    with wearing(backbone, state[PROTECTED]):
                        self.draw(backbone, step + 1)

        return looked_at


@contextmanager
def wearing(backbone: Backbone, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside, `backbone` has `weights` in place of its own of these names, without a copy of either."""
    own = backbone.weights()
    before = {name: own[name].data for name in weights}
    for name, weight in weights.items():
        own[name].data = weight.detach().to(before[name])
    try:
        yield
    finally:
        for name, data in before.items():
            own[name].data = data
