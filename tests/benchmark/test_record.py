"""What is written is what is read; what does not belong is refused by name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apdm.benchmark.record import (
    RESULT_FILE,
    BeforeAfter,
    Figure,
    Result,
    Similarity,
    SubjectResult,
    as_json,
    read_result,
    write_result,
)
from apdm.direction import Direction
from apdm.errors import InputError

COSINE = Figure(0.1 + 0.2, -0.25, 0.5, 8, "judge", Direction.LOWER_PROTECTS, "5f" * 32, 2)
RATE = Figure(1.2, -0.1, 1.5, 8)
SUBJECT = SubjectResult(
    name="rex",
    class_noun="dog",
    similarity=Similarity(COSINE, COSINE, COSINE, COSINE, COSINE, COSINE),
    attack_strength=RATE,
    protection_rate=RATE,
    seconds={"protect": 1.5},
    other_subject_strength_ratio=RATE,
    kid=BeforeAfter(COSINE, RATE),
    brisque={"attacked_protected": RATE},
    further={"FDFR": {"attacked_protected": RATE}},
)
RESULT = Result((SUBJECT,), True, ("DreamBooth",), {"protect": {"steps": [1, None]}}, {"apdm": "0.1.0"})


def test_a_record_comes_back_equal(tmp_path: Path) -> None:
    assert write_result(RESULT, tmp_path) == tmp_path / RESULT_FILE
    assert read_result(tmp_path) == RESULT
    assert [path.name for path in tmp_path.iterdir()] == [RESULT_FILE]


@pytest.mark.parametrize("name", ["smoke-dog", "smoke-cat"])
def test_records_from_before_there_were_fingerprints_are_read(name: str, tmp_path: Path) -> None:
    results = Path(__file__).resolve().parents[2] / "docs" / "results"
    (tmp_path / RESULT_FILE).write_text((results / f"{name}.json").read_text())
    real = read_result(tmp_path).subjects[0].similarity.real
    assert real.extractor
    assert (real.fingerprint, real.excluded) == (None, 0)


def test_what_was_not_measured_comes_back_as_none(tmp_path: Path) -> None:
    subject = replace(SUBJECT, kid=None, brisque=None, other_subject_strength_ratio=None)
    write_result(replace(RESULT, subjects=(subject,)), tmp_path)
    assert read_result(tmp_path).subjects == (subject,)


def test_the_file_has_the_documented_shape(tmp_path: Path) -> None:
    write_result(RESULT, tmp_path)
    subject = json.loads((tmp_path / RESULT_FILE).read_text())["subjects"][0]
    assert subject["similarity"]["real"] == {
        "value": 0.30000000000000004,  # nothing is rounded
        "low": -0.25,
        "high": 0.5,
        "n": 8,
        "extractor": "judge",
        "direction": "lower protects",
        "fingerprint": "5f" * 32,
        "excluded": 2,
    }
    assert list(subject["kid"]) == ["unprotected", "protected"]
    assert subject["seconds"] == {"protect": 1.5}


def test_undefined_and_open_figures_are_null_in_the_file_and_come_back(tmp_path: Path) -> None:
    figure = Figure(math.nan, -math.inf, math.inf, 8)
    assert as_json(figure) | {"n": 0} == {
        "value": None,
        "low": None,
        "high": None,
        "n": 0,
        "extractor": None,
        "direction": "reference",
        "fingerprint": None,
        "excluded": 0,
    }
    write_result(replace(RESULT, subjects=(replace(SUBJECT, protection_rate=figure),)), tmp_path)
    back = read_result(tmp_path).subjects[0].protection_rate
    assert math.isnan(back.value)
    assert (back.low, back.high) == (-math.inf, math.inf)


def test_a_failed_write_leaves_the_earlier_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_result(RESULT, tmp_path)

    def interrupted(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_result(replace(RESULT, toy=False), tmp_path)
    assert read_result(tmp_path) == RESULT
    assert [place.name for place in tmp_path.iterdir()] == [RESULT_FILE]


@pytest.mark.parametrize("bad", [math.nan, math.inf, Path("model")])
def test_settings_that_json_lacks_are_refused(bad: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"result\.json cannot be written"):
        write_result(replace(RESULT, settings={"learning_rate": bad}), tmp_path)
    assert not any(tmp_path.iterdir())


def _set(path: str, value: object) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        *parents, last = path.split(".")
        for key in parents:
            data = data[int(key) if key.isdigit() else key]
        if value is KeyError:
            del data[last]
        else:
            data[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("subject", []), "result.json has an unknown 'subject': did you mean 'subjects'?"),
        (_set("subjects.0.similarity.reel", {}), "similarity has an unknown 'reel': did you mean 'real'?"),
        (_set("subjects.0.kid.xyz", {}), "kid has an unknown 'xyz': use one of unprotected, protected"),
        (_set("subjects.0.brisque.photo", as_json(RATE)), "unknown 'photo': did you mean 'photos'?"),
        (_set("subjects.0.further.FDFR.photo", as_json(RATE)), "FDFR of rex has an unknown 'photo'"),
        (_set("subjects.0.name", KeyError), "result.json.subjects[0] has no 'name'"),
        (_set("subjects.0.kid.protected.n", 8.5), "kid.protected.n is 8.5: it must be a int"),
        (_set("subjects.0.kid.protected.n", True), "kid.protected.n is true: it must be a int"),
        (_set("subjects.0.kid.protected.low", "0"), 'kid.protected.low is "0": it must be a float'),
        (_set("subjects.0.kid.protected.direction", "up"), 'direction is "up": it must be a Direction'),
        (_set("subjects", {}), "result.json.subjects is {}"),
        (_set("subjects.0.similarity", []), "result.json.subjects[0].similarity is []"),
        (_set("subjects.0.seconds.protect", None), "seconds.protect is null: it must be a float"),
    ],
)
def test_a_record_of_another_shape_is_refused_where_it_differs(
    change: Callable[[Any], None], message: str, tmp_path: Path
) -> None:
    data = json.loads(json.dumps(as_json(RESULT)))
    change(data)
    (tmp_path / RESULT_FILE).write_text(json.dumps(data))
    with pytest.raises(InputError) as caught:
        read_result(tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["{", '{"toy": NaN}', "\xff"])
def test_a_file_that_is_not_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / RESULT_FILE).write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match="is not JSON"):
        read_result(tmp_path)


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"result\.json does not exist"):
        read_result(tmp_path)


def test_a_whole_number_is_a_float_too_and_defaults_may_be_left_out(tmp_path: Path) -> None:
    data = json.loads(json.dumps(as_json(RESULT)))
    data["subjects"][0]["protection_rate"] = {"value": 1, "low": 0, "high": 2, "n": 3}
    (tmp_path / RESULT_FILE).write_text(json.dumps(data))
    rate = read_result(tmp_path).subjects[0].protection_rate
    assert rate == Figure(1.0, 0.0, 2.0, 3)
    assert type(rate.value) is float


def test_impossible_figures_subjects_and_runs_are_refused() -> None:
    with pytest.raises(InputError, match="upside down"):
        Figure(0.5, 0.6, 0.4, 8)
    for n, excluded in ((0, 0), (-1, 3), (3, -1)):
        with pytest.raises(InputError, match="n >= 1"):
            Figure(0.5, 0.4, 0.6, n, excluded=excluded)
    assert (
        Figure(math.nan, math.nan, math.nan, 0, excluded=8).n == 0
    )  # eight were looked at, none had a value
    for name in ("", "..", "a/b", "a\\b"):
        with pytest.raises(InputError, match="subject name"):
            replace(SUBJECT, name=name)
    for subjects in ((), (SUBJECT, SUBJECT)):
        with pytest.raises(InputError, match="each name once"):
            replace(RESULT, subjects=subjects)
    with pytest.raises(InputError, match="no attack is listed"):
        replace(RESULT, attacks=())
