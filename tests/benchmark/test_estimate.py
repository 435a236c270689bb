"""The rehearsal holds what the run holds, and calls the network as often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from apdm.backbones.base import Sampling
from apdm.backbones.execution import Execution
from apdm.backbones.load import load
from apdm.backbones.tiny import FAMILIES
from apdm.benchmark.estimate import (
    CLASS,
    INSTANCE,
    Ledger,
    Passes,
    Weightless,
    at_rest,
    draw,
    estimate,
    rehearsal,
)
from apdm.errors import InputError
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.apdm import APDM
from apdm.protectors.ascent import Ascent
from apdm.protectors.imma import IMMA
from apdm.protectors.material import protection_material
from apdm.protectors.table import PROTECTORS, Protector, Settings
from apdm.steps import State

ONE = Sampling(num_inference_steps=1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    @cache
    def saved(family: str) -> str:
        folder = tmp_path_factory.mktemp(family)
        FAMILIES[family]().save(folder)
        return str(folder)

    return saved


def using(settings: Settings) -> Protector:
    name = next(name for name, it in PROTECTORS.items() if type(it.settings) is type(settings))
    return PROTECTORS[name].using(settings)


def profiled(work: Callable[[], object]) -> int:
    """Bytes of tensors that torch's profiler hears of, at most at a time."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as heard:
        work()
    assert heard.profiler is not None
    held = most = 0
    for event in heard.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def measured(folder: str, protector: Protector, photos: int, execution: Execution = Execution()) -> int:
    """Bytes at most while protecting for two updates, what is loaded and encoded included."""
    backbone = load(folder)
    backbone.run_as(execution)
    assert hasattr(backbone, "pipeline")
    count, side = max(1, protector.settings.num_class_images), backbone.resolution
    sets = [torch.zeros(number, 3, side, side) for number in (photos, photos, count)]
    material = protection_material(backbone, *sets, INSTANCE, CLASS)
    images = (material.negatives, material.positives, material.prior)
    parts = [part for part in backbone.pipeline.components.values() if isinstance(part, nn.Module)]
    there = [it for part in parts for it in (*part.parameters(), *part.buffers())] + sets
    kept = [(one.moments.mean, one.moments.deviation, *one.condition.parts.values()) for one in images]
    there += [it for one in kept for it in one]

    def two(total: int, state: State) -> range:
        return range(min(2, total))

    return sum(it.nbytes for it in there) + profiled(lambda: protector(backbone, [material], 0, steps=two))


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("sd1", APDM(inner_steps=1, num_class_images=3, restart_every=4)),
        ("sd3", APDM(inner_steps=3, num_class_images=3)),
        ("flux", APDM(inner_steps=1, num_class_images=3)),
        ("sd2-v", Ascent(num_class_images=3)),
        ("sd1", IMMA()),
    ],
)
def test_the_peak_is_that_of_the_run(place: Callable[[str], str], family: str, settings: Settings) -> None:
    protector = using(settings)
    said = estimate(place(family), protector, photos=2, sampling=ONE)
    assert said.protecting == pytest.approx(measured(place(family), protector, 2), rel=0.03)
    assert said.peak == said.protecting


@pytest.mark.parametrize(
    "execution",
    [Execution("bf16"), Execution(gradient_checkpointing=True), Execution(offload=True)],
    ids=["bf16", "checkpointed", "offloaded"],
)
def test_so_it_is_however_the_network_is_run(place: Callable[[str], str], execution: Execution) -> None:
    """Of an offloading run, which here has one memory only, what rests is taken off: the protected weights,
    their gradients and two moments. Its copy of the weights is there before they are."""
    protector = using(APDM(inner_steps=2, num_class_images=3))
    said = estimate(place("sd1"), protector, photos=2, sampling=ONE, execution=execution)
    whole = measured(place("sd1"), protector, 2, execution)
    resting = 4 * said.network if execution.offload else 0
    assert said.protecting == pytest.approx(whole - resting, rel=0.03)


def test_in_8_bits_two_optimizers_remember_less(place: Callable[[str], str]) -> None:
    """A moment of a weight of 4096 numbers or more keeps one byte of four, and four for each 256. Every
    optimizer has two maps of 256 numbers, and counts in eight bytes instead of four."""
    pytest.importorskip("bitsandbytes", reason="the extra apdm[8bit] is not installed")
    folder = place("sd1")
    protector = using(APDM(inner_steps=2, num_class_images=3))
    asked = (protector, 2, None, ONE)
    whole, less = (estimate(folder, *asked, Execution(use_8bit_adam=bits)) for bits in (False, True))
    counts = [weight.numel() for weight in load(folder).network.parameters()]
    saved = sum(3 * count - 4 * -(-count // 256) for count in counts if count >= 4096)
    assert whole.protecting - less.protecting == 2 * (2 * saved - 2 * 4 * 256 - 4 * len(counts))
    assert less.protected == whole.protected


def test_drawing_and_encoding_are_rehearsed_too(place: Callable[[str], str]) -> None:
    folder = place("sd1")
    backbone, many = load(folder), Sampling(num_inference_steps=1, sample_batch_size=64)
    said = estimate(folder, using(Ascent(num_class_images=64, max_train_steps=1)), 2, sampling=many)
    loaded = said.network + said.others
    drawn = profiled(lambda: backbone.generate([CLASS] * 64, list(range(64)), many))
    pictures = torch.zeros(64, 3, 16, 16)
    encoded = pictures.nbytes + profiled(lambda: backbone.encode(pictures, CLASS))
    assert said.drawing == pytest.approx(loaded + drawn, rel=0.1)
    assert said.encoding == pytest.approx(loaded + encoded, rel=0.1)
    assert said.peak == said.drawing > said.protecting
    one_by_one, few = replace(many, sample_batch_size=1), using(Ascent(num_class_images=1, max_train_steps=1))
    alone = estimate(folder, few, 2, sampling=one_by_one).drawing
    many_to_come = using(Ascent(num_class_images=200, max_train_steps=1))
    assert estimate(folder, many_to_come, 2, sampling=one_by_one).drawing == pytest.approx(alone, rel=0.02)


def test_positives_are_drawn_together_and_unguided_ones_go_in_once(place: Callable[[str], str]) -> None:
    folder, few = place("sd1"), using(Ascent(num_class_images=1, max_train_steps=1))
    backbone, many = load(folder), Sampling(num_inference_steps=1, sample_batch_size=64)
    said = estimate(folder, few, photos=64, sampling=many)
    drawn = profiled(lambda: backbone.generate([CLASS] * 64, list(range(64)), many))
    assert said.drawing == pytest.approx(said.network + said.others + drawn, rel=0.1)
    unguided = estimate(folder, few, photos=64, sampling=replace(many, guidance_scale=1.0))
    assert (said.drawn, unguided.drawn) == (Passes(2 * 65, 0), Passes(65, 0))
    assert unguided.drawing < said.drawing
    told = estimate(
        place("flux"), using(Ascent(num_class_images=1, max_train_steps=1)), photos=3, sampling=ONE
    )
    assert told.drawn == Passes(4, 0)  # by how much it is guided


def test_all_that_is_drawn_is_decoded(place: Callable[[str], str]) -> None:
    backbone = load(place("sd1"))
    like, condition = torch.zeros(1, 4, 8, 8), backbone.encode_prompts([CLASS])
    assert draw(backbone, like, condition, 3).shape == (3, 3, 16, 16)


def test_the_passes_are_those_of_the_whole_run(place: Callable[[str], str]) -> None:
    """APDM: 7 forward and 5 backward samples an inner step, 16 and 8 an anchor of eight. Pictures: with the
    prompt and without."""
    settings = APDM(outer_steps=5, inner_steps=6, num_class_images=3, anchor_weight=1.0)
    steps = Sampling(num_inference_steps=4)
    said = estimate(place("sd1"), using(settings), photos=2, sampling=steps)
    assert said.protected == Passes(5 * (6 * 7 + 16), 5 * (6 * 5 + 8))
    assert said.drawn == Passes(2 * 4 * (3 + 2), 0)
    single = replace(settings, inner_steps=1, outer_steps=1, anchor_weight=0.0)
    assert estimate(place("sd1"), using(single), 2).protected == Passes(7, 5)
    adapted = IMMA(max_train_steps=9, simulated=DreamBooth(train_batch_size=2))
    assert estimate(place("sd1"), using(adapted), 2).protected == Passes(18, 18)
    assert estimate(place("sd1"), PROTECTORS["none"], 2).protected == Passes(0, 0)


def test_each_of_several_subjects_is_looked_ahead_to(place: Callable[[str], str]) -> None:
    """Their photos' positives are drawn for each, class images once; carried attacks are held for each."""
    settings = APDM(outer_steps=2, inner_steps=3, num_class_images=3, restart_every=2)
    asked = place("sd1"), using(settings), 2, None, Sampling(num_inference_steps=4)
    one, two = (estimate(*asked, subjects=count) for count in (1, 2))
    assert two.protected == one.protected + one.protected
    assert (one.drawn.forward, two.drawn.forward) == (2 * 4 * (3 + 2), 2 * 4 * (3 + 4))
    assert two.protecting - one.protecting > 3 * one.network
    in_turn = using(replace(settings, subjects_per_update=1))
    assert estimate(place("sd1"), in_turn, photos=2, subjects=2).protected == one.protected


def test_a_larger_picture_takes_more_and_the_weights_do_not(place: Callable[[str], str]) -> None:
    quick = using(Ascent(max_train_steps=1))
    small, large = (estimate(place("sd1"), quick, 2, size) for size in (None, 64))
    weights = sum(weight.nbytes for weight in load(place("sd1")).network.parameters())
    assert small.network == large.network == weights
    assert large.protecting > 2 * small.protecting


def test_no_weights_are_read(place: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr("safetensors.torch.load_file", refuse)
    monkeypatch.setattr("diffusers.DiffusionPipeline.from_pretrained", refuse)
    monkeypatch.setattr("diffusers.ModelMixin.from_pretrained", refuse)
    monkeypatch.setattr("transformers.PreTrainedModel.from_pretrained", refuse)
    assert estimate(place("sd3"), using(Ascent()), 2).network > 0


def test_what_must_see_numbers_is_refused(place: Callable[[str], str]) -> None:
    with pytest.raises(InputError, match=r"MIMA \(AAAI 2025\) cannot be rehearsed.*: take another method"):
        estimate(place("sd1"), PROTECTORS["mima"], 2)


def test_a_ledger_counts_memory_once_and_only_while_it_is_there() -> None:
    with rehearsal() as ledger:
        a = torch.zeros(1000)
        view, other = a.view(10, 100), a + 1
        assert ledger.held == 8000
        a.add_(1)
        del a
        assert ledger.held == 8000  # the view holds it
        del view, other
        assert ledger.held == 0
        assert ledger.peak(lambda: torch.zeros(10)) == 40
        assert ledger.most == 40
        assert torch.zeros(()).item() == 1.0
        kept, rest = torch.zeros(10), torch.zeros(100)
        ledger.set_aside([rest])
        assert ledger.held == ledger.most == 40
        rest.add_(1)
        assert ledger.held == 40  # seen again, it still does not count
        del kept, rest
        assert ledger.held == 0
    with Weightless(), Ledger() as again:
        assert again.peak(lambda: None) == 0


def test_what_rests_on_the_host_of_every_subject() -> None:
    parts = ("protected", "attack", "attack_start", "attack-1", "attack_start-1")
    state = {part: {"weight": torch.zeros(1)} for part in parts}
    resting = list(at_rest(state))
    assert [any(it is state[part]["weight"] for it in resting) for part in parts] == [
        True,
        False,
        True,
        False,
        True,
    ]
