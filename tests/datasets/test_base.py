"""How photos are divided, which subjects are taken, and that one bad subject stops nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from apdm.datasets import base
from apdm.datasets.base import Division, Source, divide, survey
from apdm.datasets.folders import Folders
from apdm.errors import InputError
from apdm.seeding import generator
from apdm.subject import SET_NAMES, Sets, Subject


def divided(photos: list[Path], division: Division, seed: int = 0) -> Sets:
    return divide(photos, division, generator(seed))[0]


def test_fours_are_disjoint_sorted_and_drawn_by_the_seed(tmp_path: Path, album) -> None:
    photos = album(tmp_path, 20)
    first, same, other = (divided(photos, Division.FOURS, seed) for seed in (0, 0, 1))
    assert [len(first[name]) for name in SET_NAMES] == [4, 4, 4]
    assert len({path for name in SET_NAMES for path in first[name]}) == 12
    assert all(list(paths) == sorted(paths) for paths in first.values())
    assert first == same != other


def test_fours_look_at_no_more_photos_than_they_need(tmp_path: Path, album) -> None:
    photos = album(tmp_path, 20)
    photos[3].write_text("no picture")
    sets, verdicts = divide(photos, Division.FOURS, generator(2))
    usable = [v.usable for v in verdicts]
    assert sum(usable) == 12
    assert usable[-1]
    assert photos[3] not in {path for name in SET_NAMES for path in sets[name]}


def test_too_few_for_fours_are_refused(tmp_path: Path, album) -> None:
    with pytest.raises(InputError, match=r"usable photos in .*: 11, needed: 12"):
        divided(album(tmp_path, 11), Division.FOURS)
    with pytest.raises(InputError, match="has no photos"):
        divided([], Division.IN_TURN)


def test_in_turn_is_what_a_folder_gives(tmp_path: Path, album) -> None:
    sets, subject = divided(album(tmp_path, 5), Division.IN_TURN), Subject.from_folder(tmp_path, "dog")
    assert sets == {name: subject.paths(name) for name in SET_NAMES}
    assert [len(sets[name]) for name in SET_NAMES] == [2, 2, 1]


def test_the_papers_protocol_has_the_same_photos_in_all_sets(tmp_path: Path, album) -> None:
    photos = album(tmp_path, 4)
    assert divided(photos, Division.SAME_IMAGES) == dict.fromkeys(SET_NAMES, tuple(photos))


@pytest.fixture
def people(tmp_path: Path, album) -> Folders:
    for name, count in (("anna", 12), ("bert", 2), ("carl", 13), ("dora", 14)):
        album(tmp_path / name, count)
    return Folders(Source(tmp_path, "person"))


def test_a_subject_carries_its_name_noun_and_identifier(people: Folders) -> None:
    carl = people.subject("carl", identifier="xyz")
    assert (carl.name, carl.instance_prompt) == ("carl", "a photo of xyz person")
    assert people.subject("carl", 1, Division.FOURS) != people.subject("carl", 2, Division.FOURS)
    with pytest.raises(InputError, match="no subject 'karl': did you mean 'carl'"):
        people.subject("karl")


def test_a_survey_tells_of_every_subject(people: Folders) -> None:
    findings = list(survey(people, division=Division.FOURS))
    assert [f.name for f in findings] == ["anna", "bert", "carl", "dora"]
    assert [f.subject is None for f in findings] == [False, True, False, False]
    assert "2, needed: 12" in findings[1].problem


def test_a_count_takes_usable_subjects_in_an_order_of_the_seeds(people: Folders) -> None:
    orders = set()
    for seed in range(8):
        findings = list(survey(people, seed, Division.FOURS, count=2))
        assert sum(f.subject is not None for f in findings) == 2
        orders.add(tuple(f.name for f in findings))
    assert len(orders) > 3


def test_each_subject_has_draws_of_its_own(people: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(base, "generator", lambda *keys: (seen.append(keys), generator(*keys))[1])
    people.subject("anna", 5)
    people.subject("carl", 5)
    assert seen == [(5, "photos", "anna"), (5, "photos", "carl")]
