"""A row says how much its figure rests on, and who looked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from apdm.benchmark.record import SubjectResult
from apdm.report.tables import figure_tables


def test_a_row_says_how_many_pictures_have_no_value(make_subject: Callable[..., SubjectResult]) -> None:
    subject = make_subject()
    flat = replace(subject.attack_strength, n=6, excluded=2)
    rows = {row.name: row.n for row in figure_tables(replace(subject, attack_strength=flat))[1].rows}
    assert rows == {"attack strength (the control)": "6 of 8", "protection rate": "32"}


def test_judges_have_the_first_digits_of_their_weights(make_subject: Callable[..., SubjectResult]) -> None:
    subject = make_subject()
    assert figure_tables(subject)[0].judges == "eye"  # recorded without
    real = replace(subject.similarity.real, fingerprint="0123456789abcdef")
    likeness = replace(subject.similarity, real=real, attacked_protected=real)
    assert figure_tables(replace(subject, similarity=likeness))[0].judges == "eye (01234567), eye"
