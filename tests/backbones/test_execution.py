"""Precision and checkpointing: what is cast and what never is, and that gradients stay."""

from __future__ import annotations

import sys
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from apdm.backbones.base import Backbone, Sampling
from apdm.backbones.execution import Execution
from apdm.backbones.pipeline import PipelineBackbone
from apdm.backbones.tiny import FAMILIES
from apdm.benchmark.estimate import rehearsal
from apdm.errors import InputError
from apdm.personalizers.base import Material, personalize
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.apdm import APDM, protect
from apdm.protectors.material import ProtectionMaterial
from apdm.seeding import generator

INSTANCE, CLASS = "a photo of sks dog", "a photo of dog"
BF16 = Execution("bf16")
CHECKPOINTED = Execution(gradient_checkpointing=True)


@cache
def made(family: str) -> PipelineBackbone:
    return FAMILIES[family]()


def running(model: Backbone, execution: Execution) -> Backbone:
    """A copy that runs so; the shared model goes on as it was."""
    copy = model.copy()
    copy.run_as(execution)
    return copy


def flat(model: Backbone) -> Tensor:
    """All weights of its network."""
    return torch.cat([weight.flatten() for weight in model.weights().values()])


def gradients(model: Backbone, size: int = 8) -> list[Tensor]:
    """Of a squared prediction, as a copy's of `model`, which learns, computes it."""
    learner = model.copy()
    learner.network.requires_grad_(True)
    noisy = torch.randn(2, 4, size, size, generator=generator(3))
    condition = learner.encode_prompts([INSTANCE]).repeat(2)
    learner.predict(noisy, torch.tensor([3.0, 700.0]), condition).square().mean().backward()
    return [weight.grad for weight in learner.network.parameters() if weight.grad is not None]


def test_fp16_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="a look-ahead's are not: give --mixed_precision bf16"):
        Execution("fp16")


@pytest.mark.parametrize("family", ["sd1", "sdxl", "sd3", "flux"])
def test_activations_are_bfloat16_and_nothing_else_is(family: str) -> None:
    model = running(made(family), BF16).copy()  # a copy runs as its original does
    inside: list[torch.dtype] = []
    for name, module in model.network.named_modules():
        if name.endswith("to_q"):
            module.register_forward_hook(lambda module, given, output: inside.append(output.dtype))
    noisy, t = torch.randn(1, 4, 8, 8, generator=generator(3)), torch.tensor([500])
    condition = model.encode_prompts([INSTANCE])
    model.network.requires_grad_(True)
    predicted = model.predict(noisy, t, condition)
    predicted.square().mean().backward()
    assert set(inside) == {torch.bfloat16}
    assert predicted.dtype == torch.float32
    assert {weight.dtype for weight in model.network.parameters()} == {torch.float32}
    assert {w.grad.dtype for w in model.network.parameters() if w.grad is not None} == {torch.float32}
    exact = made(family).predict(noisy, t, condition)
    assert 0 < (predicted - exact).abs().max() < 0.05 * exact.abs().max()


def test_pictures_are_drawn_in_float32() -> None:
    sampling = Sampling(num_inference_steps=2)
    drawn = [m.generate([CLASS], [0], sampling) for m in (made("sd1"), running(made("sd1"), BF16))]
    assert torch.equal(*drawn)


def test_an_attack_in_bfloat16_takes(tiny, pattern_set, mean_error) -> None:
    material = Material(pattern_set(1, INSTANCE), pattern_set(2, CLASS))
    attacked = personalize(running(tiny, BF16), DreamBooth(3e-3, max_train_steps=30), material, 0)
    subject = pattern_set(1, INSTANCE)
    attacked.run_as(Execution())
    assert mean_error(attacked, subject) < 0.7 * mean_error(tiny, subject)
    assert {weight.dtype for weight in attacked.network.parameters()} == {torch.float32}


def test_an_attack_remembers_in_8_bits_where_that_is_asked_for(tiny, pattern_set, eight_bit) -> None:
    material = Material(pattern_set(1, INSTANCE), pattern_set(2, CLASS))
    attack = DreamBooth(1e-3, max_train_steps=2)  # the first step has nothing to remember
    ends = [
        flat(personalize(model, attack, material, 0))
        for model in (tiny, running(tiny, Execution(use_8bit_adam=True)))
    ]
    assert not torch.equal(*ends)


def test_8_bits_without_their_package_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(InputError, match="needs bitsandbytes"):
        Execution(use_8bit_adam=True)


def test_8_bits_without_a_kernel_are_refused_in_one_line(eight_bit) -> None:
    with pytest.raises(InputError, match="has no kernel for mps: leave out --use_8bit_adam"):
        Execution(use_8bit_adam=True).check(torch.device("mps"))


def test_a_protection_in_bfloat16_ends_near_that_in_float32(tiny, pattern_set) -> None:
    sets = pattern_set(1, INSTANCE), pattern_set(3, INSTANCE), pattern_set(2, CLASS)
    config = APDM(learning_rate=1e-3, outer_steps=3, inner_steps=2, simulated=DreamBooth(1e-3))
    ends = [
        flat(protect(model, [ProtectionMaterial(*sets)], config, 0)) for model in (tiny, running(tiny, BF16))
    ]
    apart, gone = (ends[1] - ends[0]).norm(), (ends[0] - flat(tiny)).norm()
    assert 0 < apart < 0.3 * gone


@pytest.mark.parametrize("family", ["sd1", "sdxl", "sd3", "flux"])
def test_checkpointed_gradients_are_the_same(family: str) -> None:
    kept = gradients(made(family))
    again = gradients(running(made(family), CHECKPOINTED))
    assert len(kept) == len(again) > 0
    assert all(torch.equal(a, b) for a, b in zip(kept, again, strict=True))


def test_checkpointing_goes_and_comes_back_with_the_setting() -> None:
    model = running(made("sd1"), CHECKPOINTED)
    copy = model.copy()
    assert copy.network.is_gradient_checkpointing
    copy.run_as(Execution())
    assert not copy.network.is_gradient_checkpointing
    assert model.network.is_gradient_checkpointing
    assert not made("sd1").network.is_gradient_checkpointing


def test_a_checkpointed_pass_holds_less() -> None:
    held = {}
    for execution in (Execution(), CHECKPOINTED):
        with rehearsal() as ledger:
            model = running(FAMILIES["sd1"](), execution)
            held[execution] = ledger.peak(lambda model=model: gradients(model, 32))
    assert held[CHECKPOINTED] < 0.8 * held[Execution()]


def test_a_compiled_network_predicts_and_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """By torch's tracer alone, without the compiler of kernels: what goes through it is the same network."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    plain = running(made("sd1"), Execution())
    compiled = running(made("sd1"), Execution(compile=True))
    assert_close(gradients(compiled), gradients(plain))
    assert compiled.copy().compiled._orig_mod is not compiled.network  # a copy's own weights


def test_only_what_learns_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    made_of: list[object] = []
    monkeypatch.setattr(torch, "compile", lambda network, **_: made_of.append(network) or network)
    model = running(made("sd1"), Execution(compile=True))
    made_of.clear()  # of whether anything can be compiled at all
    model.generate([CLASS], [0], Sampling(1))
    assert not made_of
    gradients(model)
    assert len(made_of) == 1


@pytest.mark.parametrize("family", ["sd1", "sdxl", "sd3", "flux"])
def test_batches_of_any_size_are_compiled_once(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else than latents, times and prompts a network is given."""
    graphs: list[object] = []

    def backend(graph: Any, inputs: object) -> Any:
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    model = running(made(family), Execution(compile=True))
    graphs.clear()
    text = model.encode_prompts([CLASS])
    predicted = [model.predict(torch.zeros(n, 4, 8, 8), torch.zeros(n), text.repeat(n)) for n in (2, 3, 5)]
    assert [len(it) for it in predicted] == [2, 3, 5]
    assert len(graphs) == 1


def test_a_compiler_that_is_missing_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Any:
        def call(*_: object) -> Any:
            raise RuntimeError("No working C++ compiler found\nand much more")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(InputError, match=r"here \(No working C\+\+ compiler found\): leave out --compile"):
        running(made("sd1"), Execution(compile=True))
