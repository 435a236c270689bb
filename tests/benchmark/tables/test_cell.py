"""What makes a work another one: all that it depends on, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from apdm.benchmark.tables.cell import Cell
from apdm.benchmark.tables.plan import Plan

PlanOf = Callable[..., Plan]


@dataclass(frozen=True)
class Told:
    """A subject whose sets are told apart by a word each."""

    name: str = "rex"
    class_noun: str = "dog"
    protect: str = "a"
    attack: str = "b"
    held_out: str = "c"

    @property
    def key(self) -> dict[str, object]:
        return vars(self)

    def key_of(self, photos: str, count: int | None = None) -> dict[str, object]:
        return {"photos": getattr(self, photos), "count": count}


@pytest.fixture
def cell(plan_of: PlanOf) -> Cell:
    """With all that there is: cloaked, purified, attacked on the protected model, with class images."""
    plan = plan_of(
        ('protector = "shifted"', 'protector = "shifted"\ncloak = "darker"\nclean = 0\npurifier = "inverted"')
    )
    rex = Told()
    return replace(plan.rows["model"]["dog"][0][0], subject=rex, protected_for=rex)


def digests(cell: Cell) -> dict[str, str]:
    works = {
        "photos": cell.own_photos,
        "class": cell.drawn(None, "a photo of dog"),
        "cloak": cell.cloaked,
        "purify": cell.purified,
        "protect": cell.protected,
        "prior": cell.prior,
        "attack": cell.attack,
    }
    return {name: work.digest for name, work in works.items() if work} | {"record": cell.digest}


def settings(kind: str, **changes: Any) -> Callable[[Cell], Cell]:
    """Changes fields of a method's settings."""

    def change(cell: Cell) -> Cell:
        chosen = getattr(cell, kind)
        return replace(cell, **{kind: replace(chosen, settings=replace(chosen.settings, **changes))})

    return change


def fields(**changes: Any) -> Callable[[Cell], Cell]:
    return lambda cell: replace(cell, **changes)


def sampling(**changes: Any) -> Callable[[Cell], Cell]:
    return lambda cell: replace(cell, sampling=replace(cell.sampling, **changes))


def subject(**changes: Any) -> Callable[[Cell], Cell]:
    """Changes who is attacked and protected."""

    def change(cell: Cell) -> Cell:
        who: Any = replace(Told(), **changes)
        return replace(cell, subject=who, protected_for=who)

    return change


ATTACKED = "attack record"
FOUND = f"purify {ATTACKED}"
PROTECTED = f"protect prior {ATTACKED}"
DRAWN = f"class cloak purify {PROTECTED}"


@pytest.mark.parametrize(
    ("change", "others"),
    [
        (sampling(sample_batch_size=3), ""),
        (subject(name="fido"), ""),
        (subject(held_out="C"), "record"),
        (fields(judge_weights="another"), "record"),
        (subject(attack="B"), f"cloak {FOUND}"),  # what surrogates learn from
        (subject(protect="A"), f"photos cloak purify {PROTECTED}"),
        (fields(protected_for=Told(protect="twin")), PROTECTED),
        (fields(protected_for=Told(held_out="twin")), "record"),  # the pictures are compared with them too
        (fields(count=2, clean=0), f"photos cloak {FOUND}"),
        (fields(clean=1), FOUND),
        (fields(photos="attack"), f"photos cloak {FOUND}"),
        (settings("cloak", by=0.1), f"cloak {FOUND}"),
        (settings("protector", by=0.1), PROTECTED),
        (settings("personalizer", max_train_steps=9), ATTACKED),
        (fields(seed=7), ATTACKED),
        (fields(identifier="zwx"), ATTACKED),  # the attacker's; the owner and the provider have theirs
        (fields(class_noun="cat"), f"prior {ATTACKED}"),
        (fields(images_per_prompt=2), ATTACKED),
        (sampling(num_inference_steps=9), DRAWN),
        (sampling(guidance_scale=1.0), DRAWN),
        (fields(class_images=9), DRAWN),
        (fields(setup_seed=7), DRAWN),
        (fields(weights="another"), f"photos {DRAWN}"),
    ],
)
def test_a_work_is_another_one_where_what_it_depends_on_is(
    cell: Cell, change: Callable[[Cell], Cell], others: str
) -> None:
    before, after = digests(cell), digests(change(cell))
    assert {name for name in before if before[name] != after[name]} == set(others.split())


def test_a_cloak_without_surrogates_needs_neither_other_photos_nor_the_class(cell: Cell) -> None:
    alone = settings("cloak", learns=False)(cell)
    for change in (subject(attack="B"), fields(class_images=9), sampling(num_inference_steps=9)):
        assert digests(change(alone))["cloak"] == digests(alone)["cloak"]
    assert digests(fields(weights="another")(alone))["cloak"] != digests(alone)["cloak"]
    noun = Told(class_noun="cat")
    assert digests(fields(subject=noun)(alone))["cloak"] != digests(alone)["cloak"]  # its prompt


def test_without_a_protector_nobody_owns_the_model(cell: Cell) -> None:
    alone = replace(cell, protector=None)
    assert replace(alone, protected_for=Told(held_out="twin")).digest == alone.digest


def test_the_sheet_shows_the_photos_where_no_attack_learns_from_them(cell: Cell) -> None:
    untaught = replace(cell, personalizer=None)
    before, after = digests(untaught), digests(replace(untaught, photos="attack"))
    assert before["attack"] == after["attack"]
    assert before["record"] != after["record"]


def test_the_control_has_neither_cloak_nor_purifier_nor_protection(cell: Cell) -> None:
    control = cell.control
    assert (control.cloaked, control.purified, control.protected) == (None, None, None)
    assert control.trained_on == cell.own_photos.about
    assert control.prior == cell.drawn(None, "a photo of dog")
    assert control.control.digest == control.digest
