"""The figures that the protection scenario of docs/evaluation.md gives, of results that are already there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from apdm.benchmark.frozen.jobs import (
    UNPROTECTED,
    Pair,
    covers,
    others_of,
    placebo_name,
    placebos,
    protected_name,
    subjects_of,
)
from apdm.benchmark.frozen.scenario import Scenario
from apdm.benchmark.frozen.workshop import (
    KID_PICTURES,
    Workshop,
    attack_name,
    class_name,
    cost_name,
    shown_name,
)
from apdm.benchmark.measure import figure, recorded
from apdm.benchmark.record import Figure
from apdm.direction import Direction
from apdm.metrics.base import Interval
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
from apdm.personalizers.dreambooth import DreamBooth
from apdm.subject import SetName, Subject


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


def likeness(shop: Workshop, name: str, who: Subject, look: Look) -> list[np.ndarray]:
    """[attack seed][image], of attacks that are already among the cells."""
    place, seeds = list(look.stops).index(look.at), shop.scenario.attack_seeds
    called = [attack_name(look.attack, name, who, look.photos, seed, look.stops) for seed in seeds]
    return [shop.cells.read(attack)["likeness"][place].numpy() for attack in called]


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
    seed counts alike, since they share the protected model. What was drawn before any attack is repeated for
    each attack seed, so that a redraw takes another's attacks and its class likeness together."""
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
    subjects = [it for noun in scenario.class_nouns for it in subjects_of(shop, noun)]
    course = {multiple: rate_cells(shop, protected_name, look) for multiple, look in looks(scenario).items()}

    def rate(cells: Mapping[str, Cell]) -> Figure:
        return figure(protection_rate, cells, seed, Direction.HIGHER_PROTECTS)

    found: dict[str, Figure | dict[str, Figure]] = {
        "attack_strength": figure(
            attack_strength, course[1.0], seed, Direction.REFERENCE, rests_on=("unprotected",)
        ),
        **{f"protection_rate_{multiple:g}x": rate(cells) for multiple, cells in course.items()},
        "headline": lowest(rate(course[multiple]) for multiple in scenario.times if multiple >= 1),
        "protection_rate_same_photos": rate(rate_cells(shop, protected_name, once(attack, "protect"))),
        "protection_rate_strongest": rate(rate_cells(shop, protected_name, once(scenario.strongest))),
        "other_subject_strength_ratio": figure(
            strength_ratio, other_cells(shop), seed, Direction.HIGHER_PRESERVES
        ),
        **costs(shop, [protected_name(subject) for subject in subjects]),
        **likenesses(shop, course),
    }
    names = [subject.name for subject in subjects]
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


def lowest(rates: Iterable[Figure]) -> Figure:
    """The one of the least value; an undefined one if there is any, since it may be the lowest."""
    return min(rates, key=lambda it: -math.inf if math.isnan(it.value) else it.value)


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


def attack_pictures(shop: Workshop, pair: Pair, seed: int) -> dict[str, Tensor]:
    """What was drawn after the attacks of `seed`, as far as it is there: uint8 [n h w 3] by what it shows.
    Those of one place have the same prompt and seed."""
    subject, noun = pair.subject, pair.subject.class_noun
    scenario, end = shop.scenario, once(shop.scenario.attack)
    models, found = models_of(subject), dict[str, Tensor]()

    def show(heading: str, name: str, look: Look, who: Subject = subject) -> None:
        drawn = shown_name(attack_name(look.attack, name, who, look.photos, seed, look.stops))
        if drawn in shop.works:
            found[heading] = shop.works.read(drawn)["pictures"][list(look.stops).index(look.at)]

    for multiple, look in looks(scenario).items():
        for model, name in models.items():
            show(f"{model}, {multiple:g}x", name, look)
    show("protected, same photos", models["protected"], once(scenario.attack, "protect"))
    show("protected, strongest attack", models["protected"], once(scenario.strongest))
    for placebo, (name, _) in placebos(shop, subject, pair.twin).items():
        if covers(placebo, pair.number):
            show(placebo, name, end)
    for model, name in models.items():
        show(f"another {noun}, {model}", name, end, others_of(shop, noun)[0])
    return found


def class_pictures(shop: Workshop, subject: Subject) -> dict[str, Tensor]:
    """What both models drew of the class before any attack, as far as it is there."""
    names = {
        model: class_name(name, subject.class_noun, shop.scenario.class_images)
        for model, name in models_of(subject).items()
    }
    return {
        f"class, {model}": shop.works.read(name)["pictures"]
        for model, name in names.items()
        if name in shop.works
    }


def models_of(subject: Subject) -> dict[str, str]:
    """The two that are compared, by what is said of them."""
    return {UNPROTECTED: UNPROTECTED, "protected": protected_name(subject)}


def costs(shop: Workshop, names: Sequence[str]) -> dict[str, Figure]:
    """What protection costs, the mean over the protected models called `names`.

    All models drew the same captions and saw the same scenes, so these are redrawn for all of them
    together, and the protected models by themselves. FID's interval is over the models only.
    """
    seed = shop.scenario.seed
    before = shop.cells.read(cost_name(UNPROTECTED))
    after = {name: shop.cells.read(cost_name(name)) for name in names}
    ratios = np.array([float(cell["fid"] / before["fid"]) for cell in after.values()])
    drawn, eye = shop.scenario.captioned_images, shop.distance

    def paired(key: str, statistic: Crossed) -> Figure:
        """Of the values [things] of each model, whatever is asked of them."""
        rows = [cell[key].double().reshape(len(cell[key]), -1) for cell in (before, *after.values())]
        matrix = torch.stack(rows, dim=1).numpy()  # [things, 1 + models, parts]
        interval = crossed_bootstrap(statistic, matrix, seed=seed)
        return recorded(interval, len(matrix) * len(names), Direction.LOWER_PRESERVES)

    return {
        "fid_ratio": recorded(
            bootstrap(lambda row: float(row.mean()), ratios, seed=seed),
            drawn * len(names),
            Direction.LOWER_PRESERVES,
            eye,
        ),
        "class_accuracy_drop": paired("right", lambda was, now: float((was - now)[..., 0].mean())),
        "colour_accuracy_drop": paired("right", lambda was, now: float((was - now)[..., 1].mean())),
        "caption_error_ratio": paired("error", lambda was, now: float(now.mean() / was.mean())),
        **{
            f"kid_{name}": recorded(
                Interval(*cell["kid"].tolist()),
                min(KID_PICTURES, drawn),
                Direction.LOWER_PRESERVES,
                eye,
            )
            for name, cell in ({UNPROTECTED: before} | after).items()
        },
    }
