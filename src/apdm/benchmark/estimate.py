"""What a protection will take, before anything is loaded: it is rehearsed on tensors without numbers.

torch's fake tensors have a shape, a type and a lifetime, and nothing in them. The protection itself runs on
them, as it is, for an update or two. So nothing here knows how many copies a method keeps or what a network
remembers for its backward pass, and nothing has to be told when that changes.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from apdm.backbones.base import Backbone, Condition, Sampling, draw_noise
from apdm.backbones.execution import Execution
from apdm.backbones.load import blank
from apdm.errors import InputError
from apdm.protectors.apdm import APDM
from apdm.protectors.material import ProtectionMaterial, protection_material
from apdm.protectors.table import Protector, Subjects
from apdm.seeding import generator
from apdm.steps import State
from apdm.types import Latents, Pixels

AT_REST = ("protected", "optimizer", "attack_start")  # what `Execution.offload` keeps on the host
INSTANCE, CLASS = "a photo of sks dog", "a photo of dog"  # prompts are padded: all are of one length
UPDATES = 2  # rehearsed: in the second one all that lasts is there, and IMMA's two kinds of step take turns


@dataclass(frozen=True)
class Passes:
    """Samples that go through the network, and those of them that come back for a gradient."""

    forward: int
    backward: int

    def __add__(self, other: Passes) -> Passes:
        return Passes(self.forward + other.forward, self.backward + other.backward)

    def __mul__(self, times: int) -> Passes:
        return Passes(self.forward * times, self.backward * times)


@dataclass(frozen=True)
class Estimate:
    """Bytes of tensors, in float32: of the weights, and at most at a time in each of three stages."""

    network: int
    others: int
    """Autoencoder and text encoders."""
    drawing: int
    encoding: int
    protecting: int
    drawn: Passes
    """For the class images and the positives."""
    protected: Passes

    @property
    def peak(self) -> int:
        return max(self.drawing, self.encoding, self.protecting)


@dataclass(frozen=True)
class Walk:
    """Of a rehearsed protection: bytes at most, and all passes of its updates."""

    peak: int
    passes: Passes


class Weightless(FakeTensorMode):
    """Tensors that begin under it are fake; a copied model stays under it."""

    def __deepcopy__(self, memo: object) -> Weightless:
        return self


class Ledger(TorchDispatchMode):
    """Adds up the memory of the tensors that operations give back, each from then until it is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.held = self.most = 0
        self._known: dict[int, int] = {}  # bytes that each memory counts for

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:  # what .item() calls: any number will do
            return 1
        output = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, torch.Tensor):
                self._note(tensor.untyped_storage())
        return output

    def peak(self, work: Callable[[], object]) -> int:
        """Bytes at most while `work` is done, with what was held before."""
        self.most = self.held
        work()
        return self.most

    def set_aside(self, tensors: Iterable[torch.Tensor]) -> None:
        """These do not count, nor what was held with them so far: they are in other memory."""
        for tensor in tensors:
            key = tensor.untyped_storage()._cdata
            self.held -= self._known.get(key, 0)
            self._known[key] = 0
        self.most = self.held

    def _note(self, memory: torch.UntypedStorage) -> None:
        key, size = memory._cdata, memory.nbytes()
        if key in self._known:
            return
        self._known[key] = size
        self.held += size
        self.most = max(self.most, self.held)
        weakref.finalize(memory, self._forget, key)

    def _forget(self, key: int) -> None:
        self.held -= self._known.pop(key, 0)


@contextmanager
def rehearsal() -> Iterator[Ledger]:
    """Inside, no tensor has numbers, and a ledger is kept of all."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
        with Weightless(), Ledger() as ledger:
            yield ledger


def estimate(
    model: str,
    protector: Protector,
    photos: int,
    size: int | None = None,
    sampling: Sampling = Sampling(),
    execution: Execution = Execution(),
    subjects: int = 1,
) -> Estimate:
    """What `apdm protect` will take for so many photos, `size` pixels a side, of each of so many subjects of
    one class. Raises `InputError`.

    On a GPU its libraries and the allocator's gaps come on top, and the pictures wait in host memory.
    """
    with rehearsal() as ledger:
        backbone = blank(model)
        backbone.run_as(replace(execution, compile=False))  # which has no fake tensors
        side, loaded = size or backbone.resolution, ledger.held
        count = max(1, protector.settings.num_class_images)
        found: list[ProtectionMaterial] = []

        def encode() -> None:
            for _ in range(subjects):
                own, paired, prior = (
                    torch.zeros(number, 3, side, side) for number in (photos, photos, count)
                )
                found.append(protection_material(backbone, own, paired, prior, INSTANCE, CLASS))

        encoding = ledger.peak(encode)
        walk = rehearsed(ledger, backbone, found, protector)
        like, condition = found[0].negatives.moments.mean[:1].clone(), found[0].negatives.condition
        found.clear()  # pictures are drawn before anything is encoded
        rows = min(sampling.sample_batch_size, max(count, photos))
        twice = backbone.guided_rows if sampling.guidance_scale > 1 else 1
        drawing = ledger.peak(lambda: draw(backbone, like, condition, rows, twice))
        network = sum(weight.nbytes for weight in backbone.network.parameters())
    pictures = count + subjects * photos
    return Estimate(
        network=network,
        others=loaded - network,
        drawing=drawing,
        encoding=encoding,
        protecting=walk.peak,
        drawn=Passes(twice, 0) * (pictures * sampling.num_inference_steps),
        protected=walk.passes,
    )


def at_rest(state: State) -> Iterator[torch.Tensor]:
    """What an offloading protection keeps on the host of its loop's `state`; the weights' gradients too."""
    parts = [
        part
        for name, part in state.items()
        if name.partition("-")[0] in AT_REST  # "attack_start-1": a further subject's own
    ]
    for tensor in (tensor for part in parts for tensor in part.values()):
        yield tensor
        if tensor.grad is not None:
            yield tensor.grad


@torch.no_grad()
def draw(backbone: Backbone, like: Latents, condition: Condition, count: int, twice: int = 2) -> Pixels:
    """A step of the sampler on `count` pictures, guided if each goes in `twice`, and their way to pixels."""
    noisy = draw_noise(like.expand(twice * count, -1, -1, -1), generator(0, "noise"))
    t = backbone.schedule.sample_times(len(noisy), generator(0, "times"))
    return backbone.decode_images(backbone.predict(noisy, t, condition.repeat(len(noisy)))[:count])


def rehearsed(ledger: Ledger, backbone: Backbone, subjects: Subjects, protector: Protector) -> Walk:
    """The whole protection. Of APDM's inner steps two are taken, which hold as much as more do."""
    settings = protector.settings
    if not isinstance(settings, APDM) or settings.inner_steps <= 2:
        return walked(ledger, backbone, subjects, protector, UPDATES)
    one, two = (
        walked(ledger, backbone, subjects, protector.using(replace(settings, inner_steps=steps)), 1)
        for steps in (1, 2)
    )
    further = two.passes + one.passes * -1  # of one more inner step
    return replace(two, passes=one.passes + further * (settings.inner_steps - 1))


def walked(
    ledger: Ledger, backbone: Backbone, subjects: Subjects, protector: Protector, updates: int
) -> Walk:
    """The first `updates` of a protection. Raises `InputError` for one that must see numbers."""
    heard: list[Passes] = []
    updates_of_all, taken, once = 0, 1, 0

    def few(total: int, state: State) -> Iterable[int]:
        nonlocal updates_of_all, taken, once
        updates_of_all, taken, once = total, min(updates, total), len(heard)  # before the first of them
        if backbone.execution.offload:
            ledger.set_aside(at_rest(state))
        return range(taken)

    def note(network: object, given: object, output: Any) -> None:
        rows = len(output[0])
        heard.append(Passes(rows, rows if output[0].requires_grad else 0))

    hook = backbone.network.register_forward_hook(note)  # copies are heard too
    try:
        peak = ledger.peak(lambda: protector(backbone, subjects, 0, steps=few))
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        what = f"{protector.title} cannot be rehearsed, it must see its prompts' numbers"
        raise InputError(what, fix="take another method") from error
    finally:
        hook.remove()
    rows = sum(heard[once:], Passes(0, 0)) * updates_of_all
    passes = Passes(rows.forward // taken, rows.backward // taken)
    return Walk(peak, sum(heard[:once], passes))
