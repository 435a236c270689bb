"""From a scenario to cells and costs: who, with what settings, in which order, for how long."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from apdm import assets
from apdm.benchmark.tables.kept import Kept
from apdm.benchmark.tables.plan import Plan, costs, judge_weights
from apdm.benchmark.tables.runner import Runner
from apdm.benchmark.tables.works import Works
from apdm.errors import InputError
from apdm.prompts import LIVE_TEMPLATES, OBJECT_TEMPLATES

PlanOf = Callable[..., Plan]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'cloak = "darker"',
            'cloak = "drker"',
            "the cloak of row 'cloak, 0 clean' has an unknown 'drker': did",
        ),
        ('protector = "shifted"', 'protector = "shift"', "did you mean 'shifted'"),
        ('personalizer = "once"', 'personalizer = "twice"', "use one of once, worded, none"),
        (
            "clean = 0",
            "clean = 4",
            "row 'cloak, 0 clean': clean is 4, and of dog-450000 the attacker has 3 photos",
        ),
        ("clean = 0", "count = 4", "row 'cloak, 0 clean': count is 4: dog-450000 has 3 such photos"),
        ("clean = 0", "settings.cloak = { bye = 1 }", "cloak darker has an unknown 'bye': did you mean 'by'"),
        ("clean = 0", 'settings.cloak = { by = "x" }', 'by is "x": it must be a float'),
        ("clean = 0", 'protected_for = "cat"', "use one of itself, twin, dog|unknown 'cat'"),
        ("clean = 0", "toy.purifier = { x = 1 }", None),  # of a method that the row does not have: nothing
    ],
)
def test_what_is_not_known_is_named(plan_of: PlanOf, old: str, new: str, said: str | None) -> None:
    if said is None:
        plan_of((old, new))
        return
    with pytest.raises(InputError, match=said):
        plan_of((old, new))


def test_other_mistakes_are_named(plan_of: PlanOf) -> None:
    with pytest.raises(InputError, match="preset has an unknown 'toybo': did you mean 'toybox'"):
        plan_of(sizes=(('preset = "toybox"', 'preset = "toybo"'),))
    with pytest.raises(InputError, match="has no twin: name two subjects"):
        plan_of(("clean = 0", 'protected_for = "twin"'), sizes=(("[0, 1]", "[0]"),))
    with pytest.raises(InputError, match="there is no judge 'toybox-identty'"):
        plan_of(sizes=(('judge = "', 'judge = "toybox-identty" # "'),))
    with pytest.raises(InputError, match=r"images_per_prompt\.evaluation is 0: give 1 or more"):
        plan_of(sizes=(("evaluation = 1, d", "evaluation = 0, d"),))
    with pytest.raises(InputError, match="a folder of photos: say where it lies"):
        plan_of(size="real")


def test_settings_are_the_presets_then_the_sizes_then_the_rows(plan_of: PlanOf) -> None:
    change = (
        'protector = "shifted"',
        'protector = "shifted"\nsettings.personalizer = { train_batch_size = 2 }',
    )
    plan = plan_of(change, ("clean = 0", "clean = 0\ntoy.cloak = { by = 0.1 }\nreal.cloak = { by = 0.2 }"))
    cell = plan.rows["model"]["dog"][0][0]
    assert cell.protector is not None
    assert cell.personalizer is not None
    assert cell.protector.settings.by == 0.02  # of the preset; published are 0.01
    attack = cell.personalizer.settings
    assert (attack.learning_rate, attack.train_batch_size, attack.max_train_steps) == (1e-3, 2, 1)
    cloak = plan.rows["cloak, 0 clean"]["dog"][0][0].cloak
    assert cloak is not None
    assert cloak.settings.by == 0.1


def test_the_twin_is_the_other_subject_and_a_class_its_first(plan_of: PlanOf) -> None:
    plan = plan_of(('protector = "shifted"', 'protector = "shifted"\nprotected_for = "twin"'))
    cells = [runs[0] for runs in plan.rows["model"]["dog"]]
    assert [(c.subject.name, c.protected_for.name) for c in cells] == [
        ("dog-450000", "dog-450001"),
        ("dog-450001", "dog-450000"),
    ]
    plan = plan_of(('protector = "shifted"', 'protector = "shifted"\nprotected_for = "dog"'))
    assert {runs[0].protected_for.name for runs in plan.rows["model"]["dog"]} == {"dog-450000"}


def test_diverse_prompts_are_those_of_the_class(plan_of: PlanOf) -> None:
    change = ('label = "attack"', 'label = "attack"\nprompts = "diverse"')
    toys = ("subjects = { dog = [0, 1] }", "subjects = { dog = [0], car = [0] }")
    rows = plan_of(change, sizes=(toys,)).rows["attack"]
    assert rows["dog"][0][0].templates == LIVE_TEMPLATES
    assert rows["car"][0][0].templates == OBJECT_TEMPLATES


def test_neighbours_are_of_different_subjects_and_each_cell_comes_once(plan_of: PlanOf) -> None:
    plan = plan_of(
        (
            'label = "cloak, 0 clean"\npersonalizer = "once"\ncloak = "darker"\nclean = 0',
            'label = "cloak, 0 clean"\npersonalizer = "once"',
        )
    )
    cells = plan.cells()
    assert len(cells) == 3 * 4  # the second row is the first one by another name
    assert [(c.subject.name[-1], c.seed) for c in cells[:4]] == [("0", 0), ("1", 0), ("0", 1), ("1", 1)]


def test_costs_count_shared_work_once_and_learn_from_what_is_there(
    tmp_path: Path, plan_of: PlanOf, runner_in: Callable[..., Runner]
) -> None:
    plan = plan_of()
    folder = tmp_path / "run"
    expected = {"cloak darker": 60.0, "attack once": 10.0, "class-images": 1.0, "protect shifted": 100.0}
    works = Works(folder, torch.device("cpu"))
    found = list(costs(plan, works, expected))
    assert not folder.exists()
    by_label = [(cost.label, cost.seconds) for cost in found]
    # Class images are drawn once; a control is another row's cell; a cloak and a protection serve two seeds.
    assert by_label[:4] == [("attack", 11), ("attack", 10), ("attack", 10), ("attack", 10)]
    assert by_label[4:8] == [("cloak, 0 clean", s) for s in (70, 70, 10, 10)]
    assert by_label[8:12] == [("cloak, N-1 clean", s) for s in (10, 10, 10, 10)]
    assert by_label[12:] == [("model", s) for s in (111, 111, 10, 10)]
    assert found[12].missing == ("protect shifted", "class-images", "attack once")

    runner_in(folder).run(plan.cells()[:1])
    later = list(costs(plan, works, {}))
    assert [cost.done for cost in later[:2]] == [True, False]
    assert later[0].seconds == 0
    attacks = works.made(plan.cells()[0].attack).seconds
    assert later[1].seconds == attacks  # as long as the one that is there
    assert later[4].seconds is None  # no cloak is


def test_photos_are_known_by_their_files_and_not_by_where_they_lie(tmp_path: Path, plan_of: PlanOf) -> None:
    for place in ("here", "there"):
        for number in range(3):
            folder = tmp_path / place / "rex"
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (64, 64), (number * 50, 0, 0)).save(folder / f"{number}.png")
    here, there = (
        plan_of(size="real", data=tmp_path / p).rows["attack"]["dog"][0][0] for p in ("here", "there")
    )
    assert here.digest == there.digest
    assert str(tmp_path) not in str(here.config)
    Image.new("RGB", (64, 64), (1, 1, 1)).save(tmp_path / "there" / "rex" / "0.png")
    changed = plan_of(size="real", data=tmp_path / "there").rows["attack"]["dog"][0][0]
    assert changed.digest != here.digest


def test_a_listing_says_which_cells_make_a_row(plan_of: PlanOf) -> None:
    plan = plan_of()
    listing = plan.listing()
    assert (listing.name, listing.size, [row.label for row in listing.rows]) == (
        "small",
        "toy",
        ["attack", "cloak, 0 clean", "cloak, N-1 clean", "model"],
    )
    cells = plan.rows["model"]["dog"]
    assert listing.rows[3].cells == {"dog": tuple(tuple(cell.digest for cell in runs) for runs in cells)}
    assert listing.rows[0].published == {"similarity": {"dog": 0.6}}


def test_an_attack_that_adds_a_word_is_asked_for_it(plan_of: PlanOf) -> None:
    plan = plan_of(('personalizer = "once"', 'personalizer = "worded"'))
    identifiers = {cell.personalizer.name: cell.identifier for cell in plan.cells() if cell.personalizer}
    assert identifiers == {"worded": "<new1>", "once": "sks"}


def test_a_models_digest_holds_all_that_a_result_depends_on(tmp_path: Path) -> None:
    """A file's bytes, not its place; of a folder also the scheduler's settings."""
    one, same = tmp_path / "one.safetensors", tmp_path / "same.safetensors"
    one.write_bytes(b"weights")
    same.write_bytes(b"weights")
    assert judge_weights(str(one)) == judge_weights(str(same)) != judge_weights("some/vit")
    folder = tmp_path / "model"
    (folder / "scheduler").mkdir(parents=True)
    digests = set()
    for settings in ("epsilon", "v_prediction"):
        (folder / "scheduler" / "scheduler_config.json").write_text(settings)
        digests.add(judge_weights(str(folder)))
    for name in ("pytorch_model.bin", "spiece.model"):  # such as a judge may have
        for weights in ("some", "others"):
            (folder / name).write_text(weights)
            digests.add(judge_weights(str(folder)))
    assert len(digests) == 6


def test_judges_that_ship_are_known_by_their_weights(
    exam_plan: PlanOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def folder(asset: assets.Asset) -> Path:
        return tmp_path / asset.name

    monkeypatch.setattr(assets.Asset, "folder", folder)
    judges, digests = ("toybox-identity", "toybox-clip"), set[str]()
    for weights in ("before", "after"):
        for name in (*judges, "toybox-generator"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "model.safetensors").write_text(weights + name)
        plan = exam_plan(exam=(("efficientnet-lite0", "toybox-clip"),))
        of_exam = plan.models["model"]["dog"][0].kept.paper.weights["distance"]
        assert of_exam == judge_weights("toybox-clip")
        digests |= {judge_weights(name) for name in judges}
    assert len(digests) == 4
    assert judge_weights("efficientnet-lite0") != "efficientnet-lite0"


def test_an_exam_that_its_judges_do_not_understand_is_refused(exam_plan: PlanOf, tmp_path: Path) -> None:
    asked = {"id": "x", "caption": "a bus", "question": "is it red?", "choices": ["yes"], "answer": "yes"}
    (tmp_path / "tifa.json").write_text(json.dumps([asked | {"element_type": "color"}]))
    file = ("exam.questions = 6", 'exam.questions = "tifa.json"')
    with pytest.raises(InputError, match="is no question about toys"):
        exam_plan(exam=(file, ("somebody/answers", "toybox-detector")), data=tmp_path)


def test_models_in_an_exam_come_after_the_attacks_and_say_what_they_are(
    exam_plan: PlanOf, tmp_path: Path
) -> None:
    plan = exam_plan()
    cells = plan.cells()
    kept = [place for place, cell in enumerate(cells) if isinstance(cell, Kept)]
    assert kept == [8, 9, 10]  # after four rows of two subjects: the unprotected model and the two protected
    labels = [cost.label for cost in costs(plan, Works(tmp_path, torch.device("cpu")), {})]
    sorts = ("same class", "other class", "neighbour")
    assert labels[8:] == [
        "attack, exam",
        *["model, exam"] * 2,
        *(f"model, {sort} of dog-45000{who}" for who in (0, 1) for sort in sorts),
        *["before any attack"] * 6,
    ]
    missing = list(costs(plan, Works(tmp_path, torch.device("cpu")), {}))[8].missing
    assert missing == ("references", "pictures captions", "pictures objects")


@pytest.mark.parametrize(
    "change",
    [
        ('role = "control"\n', ""),
        ('label = "model"\n', 'label = "model"\nrole = "control"\n'),
    ],
)
def test_an_exam_compares_with_the_unprotected_model(exam_plan: PlanOf, change: tuple[str, str]) -> None:
    with pytest.raises(InputError, match="has an exam and no row, or a protected one, as its control: give"):
        exam_plan(change)


def test_a_listing_says_which_exam_and_whose_attacks_belong_to_a_row(exam_plan: PlanOf) -> None:
    plan = exam_plan()
    listing, models = plan.listing(), plan.models["model"]["dog"]
    row = next(it for it in listing.rows if it.label == "model")
    assert [it.exam for it in row.models["dog"]] == [it.kept.digest for it in models]
    assert row.models["dog"][1].others["neighbour"] == ((models[1].others["neighbour"][0][0].digest,),)
    own, before = plan.rows["model"]["dog"][1][0].digest, plan.before
    assert listing.before[own] == before[own].digest
    assert listing.before.keys() == before.keys()
