"""The protection scenario of docs/evaluation.md: which results it wants, and the figures that they give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from apdm.backbones.base import Backbone
from apdm.benchmark.measure import figure, recorded
from apdm.benchmark.record import Figure
from apdm.benchmark.scenario import TWIN, Scenario
from apdm.benchmark.workshop import Workshop, attack_name
from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics.fid import frechet_distance, moments
from apdm.metrics.kid import kid
from apdm.metrics.similarity import per_image_similarity
from apdm.metrics.statistics import (
    Cell,
    Crossed,
    attack_strength,
    bootstrap,
    crossed_bootstrap,
    protection_rate,
    strength_ratio,
)
from apdm.personalizers.base import Material
from apdm.personalizers.dreambooth import DreamBooth
from apdm.pixels import to_uint8
from apdm.protectors.apdm import APDM, PUBLISHED
from apdm.protectors.ascent import Ascent, ascend, moved
from apdm.subject import SetName, Subject

UNPROTECTED = "unprotected"
KID_PICTURES = 1000  # of each side; its halves are drawn from them, our choice
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


@dataclass(frozen=True)
class Look:
    """One look at an attack: with which photos, stopped where, looked at after how many steps."""

    attack: DreamBooth
    stops: Sequence[int]
    at: int
    photos: SetName = "attack"


def once(attack: DreamBooth, photos: SetName = "attack") -> Look:
    """An attack at its own end."""
    return Look(attack, [attack.max_train_steps], attack.max_train_steps, photos)


def seen(shop: Workshop, name: str, who: Subject, look: Look, seed: int) -> dict[str, Tensor]:
    """The pictures `shown` and their `likeness`, of an attack that is already among the cells."""
    cell = shop.cells.read(attack_name(look.attack, name, who, look.photos, seed, look.stops))
    place = list(look.stops).index(look.at)
    return {key: values[place] for key, values in cell.items()}


def likeness(shop: Workshop, name: str, who: Subject, look: Look) -> list[np.ndarray]:
    """[attack seed][image]."""
    seeds = shop.scenario.attack_seeds
    return [seen(shop, name, who, look, seed)["likeness"].numpy() for seed in seeds]


def rate_cells(
    shop: Workshop,
    protected: Callable[[Subject], str],
    look: Look,
    counted: Callable[[int], bool] = lambda number: True,
    control: Look | None = None,
) -> dict[str, Cell]:
    """What a rate over the subjects of all classes rests on; `protected` names the model that each is
    attacked on, `counted` says which of a class's subjects are. The control's look is the same unless
    another one at the same step is named."""
    cells: dict[str, list[list[np.ndarray]]] = {
        name: [] for name in ("unprotected", "protected", "class", "real")
    }
    for class_noun in shop.scenario.class_nouns:
        for number, subject in enumerate(subjects_of(shop, class_noun)):
            if not counted(number):
                continue
            size = shop.backbone.resolution
            own, held_out = subject.pixels("attack", size), subject.pixels("held_out", size)
            cells["unprotected"].append(likeness(shop, UNPROTECTED, subject, control or look))
            cells["protected"].append(likeness(shop, protected(subject), subject, look))
            cells["class"].append([shop.class_likeness(subject).numpy()])
            cells["real"].append([per_image_similarity(shop.eye, own, held_out).numpy()])
    return dict(cells)


def other_cells(shop: Workshop) -> dict[str, Cell]:
    """The same of the other subjects: a row for each protected subject, in which every other and attack
    seed counts alike, since they share the protected model."""
    look = once(shop.scenario.attack)
    cells: dict[str, list[list[np.ndarray]]] = {"unprotected": [], "protected": [], "class": []}
    for class_noun in shop.scenario.class_nouns:
        others = others_of(shop, class_noun)
        for subject in subjects_of(shop, class_noun):
            for key, name in (("unprotected", UNPROTECTED), ("protected", protected_name(subject))):
                cells[key].append([run for other in others for run in likeness(shop, name, other, look)])
            seeds = len(shop.scenario.attack_seeds)
            cells["class"].append(
                [shop.class_likeness(other).numpy() for other in others for _ in range(seeds)]
            )
    return dict(cells)


def looks(scenario: Scenario) -> dict[float, Look]:
    """Those on the attack's way, by the multiple of its steps."""
    attack, stops = scenario.attack, scenario.stops
    return {multiple: Look(attack, stops, stop) for multiple, stop in zip(scenario.times, stops, strict=True)}


def figures(shop: Workshop) -> dict[str, Figure | dict[str, Figure]]:
    """Every figure of the scenario, from results that are already there."""
    scenario, seed = shop.scenario, shop.scenario.seed
    attack = scenario.attack
    course = {multiple: rate_cells(shop, protected_name, look) for multiple, look in looks(scenario).items()}

    def rate(cells: Mapping[str, Cell]) -> Figure:
        return figure(protection_rate, cells, seed, Direction.HIGHER_PROTECTS)

    found: dict[str, Figure | dict[str, Figure]] = {
        "attack_strength": figure(
            attack_strength, course[1.0], seed, Direction.REFERENCE, rests_on=("unprotected",)
        ),
        **{f"protection_rate_{multiple:g}x": rate(cells) for multiple, cells in course.items()},
        "headline": min(
            (rate(course[multiple]) for multiple in scenario.times if multiple >= 1), key=lambda it: it.value
        ),
        "protection_rate_same_photos": rate(rate_cells(shop, protected_name, once(attack, "protect"))),
        "protection_rate_strongest": rate(rate_cells(shop, protected_name, once(scenario.strongest))),
        "other_subject_strength_ratio": figure(
            strength_ratio, other_cells(shop), seed, Direction.HIGHER_PRESERVES
        ),
        **costs(shop),
        **likenesses(shop, course),
    }
    names = [it.name for noun in scenario.class_nouns for it in subjects_of(shop, noun)]
    for multiple, cells in course.items():
        alone = [{key: cell[place : place + 1] for key, cell in cells.items()} for place in range(len(names))]
        rates = dict(zip(names, map(rate, alone), strict=True))
        found[f"protection_rate_{multiple:g}x_by_subject"] = rates
    found["placebos"] = {
        placebo: rate(
            rate_cells(
                shop,
                partial(placebo_name, shop, placebo),
                once(attack),
                partial(covers, placebo),
                control=Look(attack, scenario.stops, attack.max_train_steps),
            )
        )
        for placebo in scenario.placebos
    }
    return found


def likenesses(
    shop: Workshop, course: Mapping[float, Mapping[str, Cell]]
) -> dict[str, Figure | dict[str, Figure]]:
    """Mean likeness over the subjects on the attack's way, by its steps, and what it lies between."""

    def mean(cell: Cell, direction: Direction = Direction.REFERENCE) -> Figure:
        return figure(lambda means: means["it"], {"it": cell}, shop.scenario.seed, direction, shop.eye)

    cells = dict(zip(shop.scenario.stops, course.values(), strict=True))
    return {
        "likeness_unprotected": {str(stop): mean(it["unprotected"]) for stop, it in cells.items()},
        "likeness_protected": {
            str(stop): mean(it["protected"], Direction.LOWER_PROTECTS) for stop, it in cells.items()
        },
        "likeness_class": mean(course[1.0]["class"]),
        "likeness_real": mean(course[1.0]["real"]),
    }


def pictures(shop: Workshop, class_noun: str, number: int) -> dict[str, Tensor]:
    """The class's subject `number` and what was drawn after the first seed's attacks, uint8 [n h w 3] by what
    it shows. Attacks' pictures of one place have the same prompt and seed."""
    subjects, other = subjects_of(shop, class_noun), others_of(shop, class_noun)[0]
    subject, twin = subjects[number], subjects[number - 1]
    scenario, end = shop.scenario, once(shop.scenario.attack)
    models = {UNPROTECTED: UNPROTECTED, "protected": protected_name(subject)}

    def drawn(name: str, look: Look, who: Subject = subject) -> Tensor:
        return seen(shop, name, who, look, scenario.attack_seeds[0])["shown"]

    found = {"photos": torch.from_numpy(to_uint8(subject.pixels("attack", shop.backbone.resolution)))}
    for multiple, look in looks(scenario).items():
        found |= {f"{model}, {multiple:g}x": drawn(name, look) for model, name in models.items()}
    found["protected, same photos"] = drawn(models["protected"], once(scenario.attack, "protect"))
    found["protected, strongest attack"] = drawn(models["protected"], once(scenario.strongest))
    for placebo, (name, _) in placebos(shop, subject, twin).items():
        if covers(placebo, number):
            found[placebo] = drawn(name, end)
    for model, name in models.items():
        found[f"another {class_noun}, {model}"] = drawn(name, end, other)
        of_class = f"class/{name}/{class_noun}-{scenario.class_images}"
        found[f"class, {model}"] = shop.cells.read(of_class)["pictures"]
    return found


def placebo_name(shop: Workshop, placebo: str, subject: Subject) -> str:
    """The model that stands for `placebo` where `subject` is attacked."""
    subjects = subjects_of(shop, subject.class_noun)
    twin = subjects[[s.name for s in subjects].index(subject.name) - 1]
    return placebos(shop, subject, twin)[placebo][0]


def costs(shop: Workshop) -> dict[str, Figure]:
    """What protection costs, the mean over the protected models.

    All models drew the same captions and saw the same scenes, so these are redrawn for all of them
    together, and the protected models by themselves. FID's interval is over the models only.
    """
    seed, references = shop.scenario.seed, shop.cells.read("references")["features"]
    names = [
        protected_name(subject)
        for class_noun in shop.scenario.class_nouns
        for subject in subjects_of(shop, class_noun)
    ]
    before = shop.cells.read(f"cost/{UNPROTECTED}")
    after = {name: shop.cells.read(f"cost/{name}") for name in names}
    of_renders = moments(references)
    apart = {
        name: frechet_distance(moments(cell["features"]), of_renders)
        for name, cell in ({UNPROTECTED: before} | after).items()
    }
    ratios = np.array([[apart[name] for name in names]]) / apart[UNPROTECTED]
    drawn, eye = len(before["features"]), shop.distance

    def paired(key: str, statistic: Crossed) -> Figure:
        """Of the values [things] of each model, whatever is asked of them."""
        rows = [cell[key].double().reshape(len(cell[key]), -1) for cell in (before, *after.values())]
        matrix = torch.stack(rows, dim=1).numpy()  # [things, 1 + models, parts]
        interval = crossed_bootstrap(statistic, matrix, seed=seed)
        return recorded(interval, len(matrix) * len(names), Direction.LOWER_PRESERVES)

    return {
        "fid_ratio": recorded(
            bootstrap(lambda row: float(row.mean()), ratios[0], seed=seed),
            drawn * len(names),
            Direction.LOWER_PRESERVES,
            eye,
        ),
        "class_accuracy_drop": paired("right", lambda was, now: float((was - now)[..., 0].mean())),
        "colour_accuracy_drop": paired("right", lambda was, now: float((was - now)[..., 1].mean())),
        "caption_error_ratio": paired("error", lambda was, now: float(now.mean() / was.mean())),
        **{
            f"kid_{name}": recorded(
                kid(cell["features"][:KID_PICTURES], references[:KID_PICTURES], seed=seed),
                min(KID_PICTURES, drawn),
                Direction.LOWER_PRESERVES,
                eye,
            )
            for name, cell in ({UNPROTECTED: before} | after).items()
        },
    }
