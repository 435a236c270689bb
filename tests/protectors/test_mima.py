"""MIMA: its merge against the equations, its two kinds of step, and what is kept."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.testing import assert_close

from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.errors import Diverged, InputError
from apdm.personalizers.base import Material
from apdm.personalizers.dreambooth import DreamBooth
from apdm.personalizers.lora import LoRA
from apdm.protectors import mima
from apdm.protectors.ascent import Ascent, ascent_loss
from apdm.protectors.mima import CAPTIONS, MIMA, Merge, distinct, immunize, solution
from apdm.seeding import generator

PROMPTS = ("a photo of sks dog", "a photo of sks cat")
QUICK = MIMA(
    learning_rate=1e-3,
    max_train_steps=2,
    simulated=DreamBooth(learning_rate=1e-2, train_batch_size=2),
)


@pytest.fixture(scope="module")
def concepts(pattern_set) -> list[Material]:
    """A dog and a cat, each with its class."""
    sets = [pattern_set(1, PROMPTS[0]), pattern_set(2, PROMPTS[1])]
    named = [dataclasses.replace(it, prompt=prompt) for it, prompt in zip(sets, PROMPTS, strict=True)]
    classes = [pattern_set(3, "a photo of dog"), pattern_set(4, "a photo of cat")]
    return [Material(instance, prior) for instance, prior in zip(named, classes, strict=True)]


def test_the_published_settings() -> None:
    published = MIMA()
    assert (published.learning_rate, published.max_train_steps) == (2e-5, 1000)
    assert (published.prior_loss_weight, published.num_class_images) == (1.0, 200)
    assert published.simulated == DreamBooth(learning_rate=1e-5, train_batch_size=1, prior_loss_weight=1.0)


# The merge


@pytest.fixture(scope="module")
def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    """Three words and twelve captions' words of 24 features, which leave half of all directions free."""
    draws = generator(0, "merge")
    return torch.randn(3, 24, generator=draws), torch.randn(12, 24, generator=draws)


def test_the_merge_solves_the_constrained_least_squares(drawn) -> None:
    """Against the system of Lagrange's conditions, solved as a whole for each row of W'."""
    targets, captions = (it.double() for it in drawn)
    weight = torch.randn(5, 24, generator=generator(1), dtype=torch.float64)
    wanted = torch.randn(5, 3, generator=generator(2), dtype=torch.float64)
    ridge = 0.1
    merged = weight + (wanted - weight @ targets.T) @ solution(targets, captions, ridge)

    gram = captions.T @ captions
    gram = gram + ridge * gram.diagonal().mean() * torch.eye(24, dtype=torch.float64)
    zero = torch.zeros(3, 3, dtype=torch.float64)
    system = torch.cat([torch.cat([gram, targets.T], dim=1), torch.cat([targets, zero], dim=1)])
    right = torch.cat([gram @ weight.T, wanted.T])
    assert_close(merged, torch.linalg.solve(system, right)[:24].T)


def test_words_become_what_they_should_and_captions_stay(drawn) -> None:
    targets, captions = drawn
    weight, wanted = torch.randn(5, 24, generator=generator(1)), torch.randn(5, 3, generator=generator(2))
    merged = weight + (wanted - weight @ targets.T) @ solution(targets, captions, 1e-6)
    assert_close(merged @ targets.T, wanted, rtol=1e-4, atol=1e-4)
    moved = ((merged - weight) @ captions.T).norm() / (weight @ captions.T).norm()
    assert moved < 1e-4
    assert (merged - weight).norm() > 0.1 * weight.norm()


def test_equal_rows_are_one_and_share_their_values() -> None:
    rows = torch.tensor([[1.0, 0], [0, 1], [1, 1e-6], [5, 5], [0, 1]])
    kept, shares = distinct(rows)
    assert kept.tolist() == [0, 1, 3]
    values = torch.tensor([[1.0, 10, 3, 7, 20]])
    assert_close(values @ shares, torch.tensor([[2.0, 15, 7]]))


def test_equal_rows_are_one_among_many_long_ones() -> None:
    """Of more than 25 rows torch makes distances from products unless told otherwise: two equal rows, some
    of whose numbers are always large, then lie up to 1.5e-3 of their length apart; the merge is singular."""
    for seed in range(20):
        words = torch.randn(30, 768, generator=generator(seed))
        words[:, :2] += torch.tensor([-28.0, 33.0])
        kept, _ = distinct(torch.cat([words, words]))
        assert kept.tolist() == list(range(30))


def test_shared_words_do_not_make_the_merge_singular(tiny: StableDiffusion) -> None:
    """Both prompts begin alike: those words become the mean of both, the last ones each their own."""
    merge = Merge(tiny, PROMPTS, 1e-4)
    weight = next(iter(tiny.group("cross_kv").values())).detach()
    dog, cat = (weight + 0.1 * torch.randn(weight.shape, generator=generator(i)) for i in (1, 2))
    merged = merge(weight, [dog, cat])
    (_, *of_dog), (_, *of_cat) = tiny.word_features(PROMPTS)
    for word, same in zip(of_dog[:-2], of_cat[:-2], strict=True):  # a photo of s k s
        assert_close(word, same, rtol=1e-5, atol=1e-5)
        assert_close(merged @ word, (dog + cat) @ word / 2, rtol=1e-3, atol=1e-4)
    for word, own in [(w, dog) for w in of_dog[-2:]] + [(w, cat) for w in of_cat[-2:]]:
        assert_close(merged @ word, own @ word, rtol=1e-3, atol=1e-4)


def test_the_start_of_a_prompt_is_held_and_not_moved(tiny: StableDiffusion, monkeypatch) -> None:
    asked = []
    features = StableDiffusion.word_features
    monkeypatch.setattr(
        StableDiffusion, "word_features", lambda self, p: (asked.append(tuple(p)), features(self, p))[1]
    )
    merge = Merge(tiny, PROMPTS, 1e-4)
    assert asked == [PROMPTS, CAPTIONS]
    start = features(tiny, PROMPTS)[0][0]
    assert (merge.targets - start).norm(dim=1).min() > 0.1
    assert len(set(CAPTIONS)) >= 200


def test_more_words_than_features_are_refused(tiny: StableDiffusion) -> None:
    prompts = [f"{a}{b} {c}{a} dog" for a in "abc" for b in "de" for c in "fg"]
    with pytest.raises(InputError, match="different words, more than the 32 features"):
        Merge(tiny, prompts, 1e-4)


# The loop


def test_an_adaptation_is_a_plain_step_for_each_concept_merged(tiny, concepts) -> None:
    model = tiny.copy()
    model.network.requires_grad_(True)
    keys_values = model.group("cross_kv")
    gradients, losses = [], []
    for number, concept in enumerate(concepts):
        loss = QUICK.simulated.loss(model, concept, generator(number))
        found = torch.autograd.grad(loss, list(model.weights().values()))
        gradients.append(dict(zip(model.weights(), found, strict=True)))
        losses.append(loss.item())
    merge = Merge(tiny, PROMPTS, QUICK.ridge)
    draws = [generator(number) for number in range(2)]
    value = mima.adapt_merged(model, keys_values, concepts, QUICK.simulated, merge, draws)
    assert value == pytest.approx(sum(losses) / 2)
    for name, weight in model.weights().items():
        before = tiny.weights()[name]
        if name in keys_values:
            stepped = [before - 1e-2 * gradient[name] for gradient in gradients]
            assert not torch.equal(weight, before)
            assert_close(weight.detach(), merge(before, stepped), rtol=1e-4, atol=1e-6)
        else:
            assert torch.equal(weight, before)
            assert_close(weight.grad, (gradients[0][name] + gradients[1][name]) / 2, rtol=1e-3, atol=1e-6)


def test_the_ascent_is_the_concepts_mean_with_the_class_kept(tiny, concepts) -> None:
    config = dataclasses.replace(QUICK, prior_loss_weight=3.0)
    loss = mima.merged_ascent_loss(tiny, concepts, config, [generator(0), generator(1)])
    form = Ascent(prior_loss_weight=3.0, train_batch_size=2)
    parts = [ascent_loss(tiny, concept, form, generator(n)).item() for n, concept in enumerate(concepts)]
    assert loss.item() == pytest.approx(sum(parts) / 2)


def test_steps_alternate_between_the_rest_and_cross_attention(tiny, concepts, monkeypatch) -> None:
    stepped, made, adamw = [], [], mima.adamw

    def recording(weights, rate, in_8_bits):
        optimizer = adamw(list(weights), rate, in_8_bits)
        step, number = optimizer.step, len(made)
        made.append([id(weight) for weight in optimizer.param_groups[0]["params"]])
        optimizer.step = lambda: (stepped.append(number), step())
        return optimizer

    monkeypatch.setattr(mima, "adamw", recording)
    immunize(tiny, concepts, dataclasses.replace(QUICK, max_train_steps=5), 0)
    assert stepped == [0, 1, 0, 1, 0]
    keys_values, crossing = (len(tiny.group(g)) for g in ("cross_kv", "cross_attention"))
    assert [len(weights) for weights in made] == [len(tiny.weights()) - keys_values, crossing]


def test_no_step_sees_the_gradients_of_another(tiny: StableDiffusion, concepts, monkeypatch) -> None:
    """Where nothing moves, every step's gradients are those of its own loss at the same weights."""
    seen: list[list[torch.Tensor]] = []

    class Still(torch.optim.SGD):
        def step(self, closure=None) -> None:
            seen.append([weight.grad.clone() for weight in self.param_groups[0]["params"]])

    monkeypatch.setattr(mima, "adamw", lambda weights, rate, _: Still(weights, lr=rate))
    still = dataclasses.replace(QUICK.simulated, learning_rate=1e-9)
    immunize(tiny, concepts, dataclasses.replace(QUICK, max_train_steps=3, simulated=still), 0)

    model = tiny.copy()
    model.network.requires_grad_(True)
    keys_values, crossing = (model.group(g) for g in ("cross_kv", "cross_attention"))
    rest = [weight for name, weight in model.weights().items() if name not in keys_values]
    ascent, adaptation = ([generator(0, "mima", step, n) for n in range(2)] for step in (1, 2))
    losses = [
        mima.merged_ascent_loss(model, concepts, QUICK, ascent),
        sum(still.loss(model, it, draw) for it, draw in zip(concepts, adaptation, strict=True)) / 2,
    ]
    for found, loss, weights in zip(seen[1:], losses, (list(crossing.values()), rest), strict=True):
        assert_close(found, list(torch.autograd.grad(loss, weights)), rtol=1e-3, atol=1e-6)


def test_only_cross_attention_is_kept_and_all_of_it(tiny: StableDiffusion, concepts) -> None:
    immune = immunize(tiny, concepts, QUICK, 0)
    changed = {n for n, w in immune.weights().items() if not torch.equal(w, tiny.weights()[n])}
    assert changed == set(tiny.group("cross_attention"))
    assert not any(weight.requires_grad for weight in immune.weights().values())


def test_every_concept_becomes_harder_and_seeds_reproduce(tiny, concepts, mean_error, heard) -> None:
    config = MIMA(
        learning_rate=1e-2,
        max_train_steps=20,
        prior_loss_weight=0.1,
        simulated=DreamBooth(learning_rate=1e-4, train_batch_size=2),
    )
    immune, same = (immunize(tiny, concepts, config, 0, heard) for _ in range(2))
    for concept in concepts:
        assert mean_error(immune, concept.instance) > 1.01 * mean_error(tiny, concept.instance)
    assert all(torch.equal(w, same.weights()[name]) for name, w in immune.weights().items())
    assert heard.steps[20] == ("mima", 20, 20)


@pytest.mark.parametrize(
    ("rate", "simulated_rate", "said"),
    [
        (1e-3, 1e30, "MIMA's ascent diverged at step 2"),
        (1e30, 1e-2, "MIMA's adaptation diverged at step 3"),
    ],
)
def test_numbers_that_run_away_stop_the_run(tiny, concepts, rate, simulated_rate, said: str) -> None:
    """Each kind of step finds what the one before it, at far too high a rate, has made of the weights."""
    simulated = dataclasses.replace(QUICK.simulated, learning_rate=simulated_rate)
    config = dataclasses.replace(QUICK, learning_rate=rate, max_train_steps=3, simulated=simulated)
    with pytest.raises(Diverged, match=said):
        immunize(tiny, concepts, config, 0)


@pytest.mark.parametrize("simulated", [LoRA(), DreamBooth(train_text_encoder=True)])
def test_what_cannot_be_merged_is_refused(simulated) -> None:
    with pytest.raises(InputError, match="MIMA merges full fine-tunings: simulate DreamBooth"):
        MIMA(simulated=simulated)
