"""The protection scenario of docs/evaluation.md: which results it wants, and the models that they need."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import sleep

from apdm.backbones.base import Backbone
from apdm.benchmark.frozen.scenario import PLACEBOS, TWIN, Scenario
from apdm.benchmark.frozen.workshop import (
    REFERENCES,
    Workshop,
    attack_name,
    class_likeness_name,
    class_name,
    cost_name,
    model_name,
    reported_toy,
)
from apdm.errors import InputError
from apdm.personalizers.base import Material
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.apdm import APDM, PUBLISHED
from apdm.protectors.ascent import Ascent, ascend, moved
from apdm.subject import SetName, Subject

UNPROTECTED = "unprotected"
FIRST_ONLY = {"published preset"}  # 16,000 simulated steps: the first subject of each class stands for all
PATIENCE = 1  # seconds between two looks for a free result
ALL_HAVE = set(PLACEBOS) - FIRST_ONLY
ASCENT = Ascent(prior_loss_weight=10.0, learning_rate=2e-4, max_train_steps=5000, train_batch_size=4)


def protected_name(subject: Subject) -> str:
    return f"protected-{subject.name}"


def protect_with(shop: Workshop, protection: APDM, subject: Subject, name: str) -> Backbone:
    """The model called `name`: protected against `subject` with the settings `protection`."""

    def make() -> Backbone:
        trial = replace(shop, protection=protection).trial
        prior = shop.class_pictures(shop.backbone, UNPROTECTED, subject, shop.protection.num_class_images)
        return trial.protected(subject, trial.positives(subject), prior)

    return shop.model(name, make)


def protected_model(shop: Workshop, subject: Subject) -> Backbone:
    return protect_with(shop, shop.protection, subject, protected_name(subject))


def ascended_model(shop: Workshop, subject: Subject) -> Backbone:
    """Naive ascent until the weights have moved as far as the protection moved them."""

    def make() -> Backbone:
        backbone, size = shop.backbone, shop.backbone.resolution
        prior = shop.class_pictures(backbone, UNPROTECTED, subject, shop.protection.num_class_images)
        material = Material(
            backbone.encode(subject.pixels("protect", size), subject.instance_prompt),
            backbone.encode(prior, subject.class_prompt),
        )
        far = moved(backbone, protected_model(shop, subject))
        ascended = ascend(backbone, material, ASCENT, shop.scenario.seed, far, shop.watch)
        if moved(backbone, ascended) < far:
            raise InputError(
                f"naive ascent moved less than the protection in {ASCENT.max_train_steps} steps",
                fix="give it more",
            )
        return ascended

    return shop.model(f"ascent-{subject.name}", make)


Placebo = tuple[str, Callable[[], Backbone]]  # its model's name, and how that is made


def placebos(shop: Workshop, subject: Subject, twin: Subject) -> dict[str, Placebo]:
    """What is said of each placebo, its model's name and how that is made. `twin` is the other subject
    of the class."""
    without = replace(shop.protection, dpo_weight=0.0)
    no_dpo, published = f"no-dpo-{subject.name}", f"published-{subject.name}"
    known = {
        "no DPO": (no_dpo, partial(protect_with, shop, without, subject, no_dpo)),
        TWIN: (protected_name(twin), partial(protected_model, shop, twin)),
        "published preset": (published, partial(protect_with, shop, PUBLISHED, subject, published)),
        "naive ascent": (f"ascent-{subject.name}", partial(ascended_model, shop, subject)),
    }
    return {placebo: known[placebo] for placebo in shop.scenario.placebos}


def placebo_name(shop: Workshop, placebo: str, subject: Subject) -> str:
    """The model that stands for `placebo` where `subject` is attacked."""
    subjects = subjects_of(shop, subject.class_noun)
    twin = subjects[[s.name for s in subjects].index(subject.name) - 1]
    return placebos(shop, subject, twin)[placebo][0]


def covers(placebo: str, number: int) -> bool:
    """Whether subject `number` of a class is attacked on `placebo`'s model."""
    return number == 0 or placebo not in FIRST_ONLY


def subjects_of(shop: Workshop, class_noun: str) -> list[Subject]:
    return [reported_toy(class_noun, index) for index in shop.scenario.subjects]


def others_of(shop: Workshop, class_noun: str) -> list[Subject]:
    return [reported_toy(class_noun, index) for index in shop.scenario.others]


@dataclass(frozen=True)
class Job:
    """A result by its name, what must be there to make it, and how it is made, by one process at a time."""

    name: str
    needs: tuple[str, ...]
    make: Callable[[], object]

    def free(self, shop: Workshop) -> bool:
        """Whether no other process makes it, or what it needs."""
        return not shop.cells.busy(self.name) and not any(map(shop.works.busy, self.needs))


def work(shop: Workshop) -> None:
    """Makes every result that is not there. Those that are in other processes' hands are left to them; while
    all are, it waits until one is free or none is missing."""
    waiting = list(jobs(shop))
    while waiting := [job for job in waiting if job.name not in shop.cells]:
        free = next((job for job in waiting if job.free(shop)), None)
        free.make() if free else sleep(PATIENCE)


def finished(shop: Workshop) -> Scenario:
    """The part of the scenario whose results are all there: its first attack seeds, and of its placebos those
    that were attacked with all of these. Raises `InputError` while there is none."""

    def all_there(part: Scenario) -> bool:
        return all(job.name in shop.cells for job in jobs(replace(shop, scenario=part)))

    seeds = shop.scenario.attack_seeds
    for count in range(len(seeds), 0, -1):
        part = replace(shop.scenario, attack_seeds=seeds[:count], placebos=())
        if all_there(part):
            known = [it for it in shop.scenario.placebos if all_there(replace(part, placebos=(it,)))]
            return replace(part, placebos=tuple(known))
    what = f"'{shop.cells.folder}' has not all results of the first attack seed yet"
    raise InputError(what, fix="go on with apdm bench")


@dataclass(frozen=True)
class Pair:
    """A subject, by its number in its class, and the other subject of the class."""

    subject: Subject
    twin: Subject
    number: int


def pairs_of(shop: Workshop) -> list[Pair]:
    return [
        Pair(subject, subjects[number - 1], number)
        for subjects in (subjects_of(shop, noun) for noun in shop.scenario.class_nouns)
        for number, subject in enumerate(subjects)
    ]


def jobs(shop: Workshop) -> Iterator[Job]:
    """Every result of the scenario. What the models still can comes after the first seed's attacks, so that
    what is there early says something of everything; what takes longest comes last."""
    pairs, (first, *_) = pairs_of(shop), shop.scenario.attack_seeds
    for seed in shop.scenario.attack_seeds:
        for kind in (courses, placebo_attacks, attacks_at_the_end, attacks_by_others):
            for pair in pairs:
                yield from kind(shop, pair, seed)
        if seed == first:
            yield from likenesses(shop, pairs)
            yield from costs(shop, pairs)
    for seed in shop.scenario.attack_seeds:
        for pair in pairs:
            yield from placebo_attacks(shop, pair, seed, FIRST_ONLY)


def models(shop: Workshop, subject: Subject) -> dict[str, Callable[[], Backbone]]:
    """The two that are compared, by name."""
    return {
        UNPROTECTED: lambda: shop.backbone,
        protected_name(subject): partial(protected_model, shop, subject),
    }


def attack_job(
    shop: Workshop,
    attack: DreamBooth,
    name: str,
    model: Callable[[], Backbone],
    who: Subject,
    seed: int,
    stops: Sequence[int],
    photos: SetName = "attack",
) -> Job:
    called = attack_name(attack, name, who, photos, seed, stops)
    needs = model_name(name), class_name(name, who.class_noun, shop.scenario.class_images)
    return Job(called, needs, lambda: shop.attack(attack, model, name, who, photos, seed, stops))


def courses(shop: Workshop, pair: Pair, seed: int) -> Iterator[Job]:
    """The attack, looked at on its way."""
    for name, model in models(shop, pair.subject).items():
        yield attack_job(shop, shop.scenario.attack, name, model, pair.subject, seed, shop.scenario.stops)


def placebo_attacks(shop: Workshop, pair: Pair, seed: int, of: Collection[str] = ALL_HAVE) -> Iterator[Job]:
    """On those of the scenario's placebos that are among `of`."""
    attack, end = shop.scenario.attack, [shop.scenario.attack.max_train_steps]
    for placebo, (name, make) in placebos(shop, pair.subject, pair.twin).items():
        if placebo in of and covers(placebo, pair.number):
            yield attack_job(shop, attack, name, make, pair.subject, seed, end)


def attacks_at_the_end(shop: Workshop, pair: Pair, seed: int) -> Iterator[Job]:
    """With the photos that were protected, and the strongest; looked at when they are done."""
    attack, strongest, who = shop.scenario.attack, shop.scenario.strongest, pair.subject
    for name, model in models(shop, who).items():
        yield attack_job(shop, attack, name, model, who, seed, [attack.max_train_steps], "protect")
        yield attack_job(shop, strongest, name, model, who, seed, [strongest.max_train_steps])


def attacks_by_others(shop: Workshop, pair: Pair, seed: int) -> Iterator[Job]:
    """By the class's other subjects, which were not protected."""
    attack = shop.scenario.attack
    for name, model in models(shop, pair.subject).items():
        for other in others_of(shop, pair.subject.class_noun):
            yield attack_job(shop, attack, name, model, other, seed, [attack.max_train_steps])


def likenesses(shop: Workshop, pairs: Sequence[Pair]) -> Iterator[Job]:
    """Of the class's pictures to everybody."""
    others = [other for noun in shop.scenario.class_nouns for other in others_of(shop, noun)]
    for who in (*(pair.subject for pair in pairs), *others):
        yield Job(class_likeness_name(who), (), partial(shop.class_likeness, who))


def costs(shop: Workshop, pairs: Sequence[Pair]) -> Iterator[Job]:
    every = {name: model for pair in pairs for name, model in models(shop, pair.subject).items()}
    for name, model in every.items():
        needs = model_name(name), REFERENCES
        yield Job(cost_name(name), needs, partial(shop.cost, model, name))
