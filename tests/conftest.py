"""What all tests share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from apdm.backbones.base import Backbone, EncodedImages, Moments, draw_noise
from apdm.losses.denoising import denoising_error
from apdm.personalizers.base import Attachment, Material, Personalizer
from apdm.seeding import generator

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion
    from apdm.benchmark.tables.outcome import Listing, Outcome

PatternSet = Callable[[int, str], EncodedImages]
MeanError = Callable[[Backbone, EncodedImages], float]
AdamWByHand = Callable[[float, Callable[[float], float], float, int], list[float]]

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photographs beside the project; a user's machine has none."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"{SHARED_DATA} is not there: its photographs do not come with the project")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tiny() -> Iterator[StableDiffusion]:
    """A random Stable Diffusion that all tests share and none may change."""
    from apdm.backbones.tiny import tiny_stable_diffusion  # loads diffusers

    model = tiny_stable_diffusion()
    before = [weight.clone() for weight in model.network.parameters()]
    yield model
    assert all(torch.equal(a, b) for a, b in zip(before, model.network.parameters(), strict=True))


@pytest.fixture(scope="session")
def pattern_set(tiny: StableDiffusion) -> PatternSet:
    """Four variations of the random latent picture number `pattern`, under a prompt. The tiny
    autoencoder sends every picture to nearly the same latents, so behaviour is tested on these."""

    def make(pattern: int, prompt: str) -> EncodedImages:
        draws = generator(pattern, "pattern")
        mean = torch.randn(1, 4, 8, 8, generator=draws) + 0.2 * torch.randn(4, 4, 8, 8, generator=draws)
        return EncodedImages(Moments(mean, torch.full_like(mean, 0.1)), tiny.encode_prompts([prompt]))

    return make


@pytest.fixture(scope="session")
def mean_error() -> MeanError:
    """A model's mean denoising error on a set, over 256 draws of image, time and noise that stay the same."""

    def measure(model: Backbone, images: EncodedImages) -> float:
        draws = generator(0, "held-out draws")
        clean = images.moments.sample(torch.arange(len(images)).repeat(64), draws)
        noise, t = draw_noise(clean, draws), model.schedule.sample_times(len(clean), draws)
        with torch.no_grad():
            errors = denoising_error(model, clean, images.condition.repeat(len(clean)), noise, t)
        return errors.mean().item()

    return measure


@pytest.fixture(scope="session")
def adamw_by_hand() -> AdamWByHand:
    """The weights after each of `steps` AdamW steps on one weight, written out (betas .9 and .999,
    decay .01, eps 1e-8; Loshchilov & Hutter 2019, algorithm 2)."""

    def path(weight: float, gradient_at: Callable[[float], float], rate: float, steps: int) -> list[float]:
        mean, square, weights = 0.0, 0.0, []
        for step in range(1, steps + 1):
            gradient = gradient_at(weight)
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.999 * square + 0.001 * gradient**2
            direction = mean / (1 - 0.9**step) / ((square / (1 - 0.999**step)) ** 0.5 + 1e-8)
            weight = weight - rate * 0.01 * weight - rate * direction
            weights.append(weight)
        return weights

    return path


class AdamW8bit(torch.optim.Optimizer):
    """Stands for bitsandbytes' in all that ours builds on: its two hooks, a count that is a number, moments
    as bytes with their scale, which begin as zeros, and a map of bytes that all weights share."""

    codes = torch.linspace(-1, 1, 255)

    def __init__(self, parameters, **settings) -> None:
        super().__init__(parameters, settings)

    def init_state(self, group, p: Tensor, gindex: int, pindex: int) -> None:
        state: dict = {"step": 0, "qmap1": self.codes, "qmap2": self.codes}
        for n in (1, 2):
            state |= {f"state{n}": torch.zeros_like(p, dtype=torch.uint8), f"absmax{n}": torch.zeros(1)}
        self.state[p].update(state)

    def update_step(self, group, p: Tensor, gindex: int, pindex: int) -> None:
        state, betas, made = self.state[p], group["betas"], []
        assert type(state["step"]) is int
        state["step"] += 1
        for n, beta, seen in zip((1, 2), betas, (p.grad, p.grad.square()), strict=True):
            bytes_, scale = state[f"state{n}"], state[f"absmax{n}"]
            moment = beta * scale * self.codes[bytes_.long()] + (1 - beta) * seen
            made.append(moment / (1 - beta ** state["step"]))
            scale.copy_(moment.abs().max())
            bytes_.copy_((127 * moment / scale.clamp(min=1e-30)).round() + 127)
        p.mul_(1 - group["lr"] * group["weight_decay"])
        p.sub_(group["lr"] * made[0] / (made[1].clamp(min=0).sqrt() + group["eps"]))

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            for place, p in enumerate(group["params"]):
                if p.grad is not None:
                    if not self.state[p]:
                        self.init_state(group, p, 0, place)
                    self.update_step(group, p, 0, place)


@pytest.fixture(params=["stand-in", "bitsandbytes"])
def eight_bit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """8-bit Adam is there: once the package itself, where it is installed."""
    if request.param == "bitsandbytes":
        pytest.importorskip("bitsandbytes", reason="the extra apdm[8bit] is not installed")
        return
    package = ModuleType("bitsandbytes")
    package.__spec__ = ModuleSpec("bitsandbytes", None)
    package.optim = SimpleNamespace(AdamW8bit=AdamW8bit)
    monkeypatch.setitem(sys.modules, "bitsandbytes", package)


class OneWeight(Backbone):
    """A network of one double-precision weight, for loops whose arithmetic is written out."""

    def __init__(self, value: float = 5.0) -> None:
        self.weight = nn.Parameter(torch.tensor(value, dtype=torch.float64), requires_grad=False)
        self.network = nn.ParameterList([self.weight])

    def copy(self) -> OneWeight:
        return OneWeight(self.weight.item())

    def generate(self, prompts, seeds, sampling, watch=None) -> Tensor:
        """Paints each prompt's seed and remembers the prompts."""
        self.prompts = list(prompts)
        return torch.tensor([seed % 1000 for seed in seeds]).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)

    def encode_images(self, pixels): ...
    def decode_images(self, latents): ...
    def encode_prompts(self, prompts): ...
    def predict(self, noisy, t, condition): ...
    def save(self, folder): ...
    def save_adapters(self, folder): ...


class QuadraticAttack(Personalizer):
    """Descends (w - 1)^2 of a `OneWeight`; remembers the seeds of the generators it was given."""

    learning_rate = 0.3
    max_train_steps = 3
    max_grad_norm = 1e9

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def attach(self, backbone: Backbone, seed: int = 0) -> Attachment:
        backbone.network.requires_grad_(True)
        return Attachment(list(backbone.network.parameters()), backbone.weights(), lambda: None)

    def loss(self, backbone: Backbone, material: Material, generator: torch.Generator) -> Tensor:
        self.seeds.append(generator.initial_seed())
        return (next(backbone.network.parameters()) - 1).square()


class Heard:
    """A watch that remembers what it was told."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []
        self.figures: list[Mapping[str, float]] = []

    def __call__(self, task: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        self.steps.append((task, done, total))
        self.figures.append(figures)


class MeanColours:
    """A judge of mean colours by quarter."""

    name, fingerprint, dim = "mean-colours", "0" * 64, 12

    def __call__(self, pixels: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(pixels, 2).flatten(1)


@pytest.fixture(scope="session")
def mean_colours() -> MeanColours:
    return MeanColours()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="session")
def one_weight() -> type[OneWeight]:
    return OneWeight


@pytest.fixture
def quadratic_attack() -> QuadraticAttack:
    return QuadraticAttack()


MakeOutcome = Callable[..., "Outcome"]
MakeListing = Callable[..., "Listing"]


@pytest.fixture(scope="session")
def make_outcome() -> MakeOutcome:
    """A record "rex-0" of a cell of subject rex and seed 0, kept in a folder if one is given."""
    from apdm.benchmark.record import Provenance
    from apdm.benchmark.tables.outcome import EVALUATION, Measured, Outcome, record_path, write

    def make(digest, similarity, brisque=(10.0,), control=(0.5,), folder=None, **changes):
        def measured(alike, defects):
            return {
                "similarity": Measured(tuple(alike), "judge", "0"),
                "brisque": Measured(tuple(defects), "svm", "0"),
            }

        fields = {
            "evaluation": EVALUATION,
            "digest": digest,
            "cell": {"model": "toybox", "subject": digest[:-2], "seed": int(digest[-1])},
            "measured": measured(similarity, brisque),
            "control": measured(control, [20.0]),
            "works": {},
            "wall_time": 1.0,
            "peak_memory": None,
            "pictures": f"works/attack/{digest}",
            "control_pictures": "works/attack/control",
            "photos": "works/photos/rex",
            "provenance": (Provenance("a" * 40, False, "cpu, 1 thread", {"torch": "2"}),),
        }
        outcome = Outcome(**(fields | changes))
        if folder is not None:
            write(outcome, record_path(folder, digest))
        return outcome

    return make


@pytest.fixture(scope="session")
def make_listing() -> MakeListing:
    """A listing of rows (label, role, cells by class, published)."""
    from apdm.benchmark.tables.outcome import ListedRow, Listing

    def make(*rows, **changes):
        fields = {
            "name": "small",
            "size": "toy",
            "title": "A small table",
            "note": "",
            "published_on": "Stable Diffusion 1.5",
            "better": {"similarity": "lower", "brisque": "higher"},
            "controls": False,
            "sheet": (),
            "rows": tuple(ListedRow(*row) for row in rows),
        }
        return Listing(**(fields | changes))

    return make
