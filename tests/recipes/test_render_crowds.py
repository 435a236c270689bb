"""What the judges of whole scenes are told about a scene is what there is to be seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from apdm.toybox import captions, world
from apdm.toybox.identity import main_colour
from apdm.toybox.seeds import Purpose
from render_crowds import UNSEEN, Crowds, described, facts, save
from train_reader import QUESTIONS


def first_with(toys: int) -> int:
    return next(i for i in range(200) if len(described(i, Purpose.TUNING).scene.toys) == toys)


def test_the_facts_are_those_of_the_picture() -> None:
    index = first_with(2)
    told, scene = facts((index, Purpose.TUNING)), described(index, Purpose.TUNING).scene
    assert np.array_equal(told["pictures"], world.render(scene))
    assert told["classes"][2] == told["colours"][2] == UNSEEN
    for number, placed in enumerate(scene.toys):
        assert QUESTIONS["class"][told["classes"][number]] == placed.toy.class_noun
        assert QUESTIONS["colour"][told["colours"][number]] == main_colour(placed.toy).word
        seen = world.silhouettes(scene)[number]
        left, top, right, bottom = told["boxes"][number].astype(int)
        inside = seen[top:bottom, left:right]
        assert inside.sum() == seen.sum()
        assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
    assert QUESTIONS["ground"][told["grounds"]] == scene.view.ground


def test_training_and_held_out_scenes_have_their_own_toys() -> None:
    """The purpose goes on to the scene, whose toys come from its seeds alone."""
    judges, tuning = (described(0, purpose) for purpose in (Purpose.JUDGES, Purpose.TUNING))
    assert judges.scene != tuning.scene


def test_crowds_are_read_as_they_were_saved(tmp_path: Path) -> None:
    told = [facts((index, Purpose.TUNING)) for index in range(2)]
    fields = {name: np.stack([one[name] for one in told]) for name in told[0]}
    save(tmp_path, "some", Purpose.TUNING, fields)
    read = Crowds.read(tmp_path, "some")
    assert read.captions == [described(index, Purpose.TUNING).caption for index in range(2)]
    assert np.array_equal(read.boxes, fields["boxes"])
    assert read.kinds.tolist() == [described(index, Purpose.TUNING).kind for index in range(2)]
    assert isinstance(described(0, Purpose.TUNING), captions.Described)
