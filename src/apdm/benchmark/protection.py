"""The protection scenario of docs/evaluation.md: which results it wants, and the models that they need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from apdm.backbones.base import Backbone
from apdm.benchmark.scenario import TWIN
from apdm.benchmark.workshop import Workshop
from apdm.errors import InputError
from apdm.personalizers.base import Material
from apdm.protectors.apdm import APDM, PUBLISHED
from apdm.protectors.ascent import Ascent, ascend, moved
from apdm.subject import Subject

UNPROTECTED = "unprotected"
FIRST_ONLY = {"published preset"}  # 16,000 simulated steps: the first subject of each class stands for all
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
    return [shop.subject(class_noun, index) for index in shop.scenario.subjects]


def others_of(shop: Workshop, class_noun: str) -> list[Subject]:
    return [shop.subject(class_noun, index) for index in shop.scenario.others]


def work(shop: Workshop, class_noun: str, number: int) -> None:
    """Makes every result of the class's subject `number`, and those that all subjects share."""
    shop.references()
    subjects = subjects_of(shop, class_noun)
    subject, twin = subjects[number], subjects[number - 1]
    attack, strongest = shop.scenario.attack, shop.scenario.strongest
    full, end = shop.scenario.stops, [attack.max_train_steps]
    models = {UNPROTECTED: shop.backbone, protected_name(subject): protected_model(shop, subject)}
    for name, model in models.items():
        shop.cost(model, name)
        for seed in shop.scenario.attack_seeds:
            shop.attack(attack, model, name, subject, "attack", seed, full)
            shop.attack(attack, model, name, subject, "protect", seed, end)
            shop.attack(strongest, model, name, subject, "attack", seed, [strongest.max_train_steps])
            for other in others_of(shop, class_noun):
                shop.attack(attack, model, name, other, "attack", seed, end)
    for who in (subject, *others_of(shop, class_noun)):
        shop.class_likeness(who)
    for placebo, (name, make) in placebos(shop, subject, twin).items():
        if not covers(placebo, number):
            continue
        model = make()
        for seed in shop.scenario.attack_seeds:
            shop.attack(attack, model, name, subject, "attack", seed, end)
