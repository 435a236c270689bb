from __future__ import annotations

import math
import time
from collections.abc import Mapping

import numpy as np
import pytest

from apdm.errors import InputError
from apdm.metrics.base import Interval
from apdm.metrics.statistics import (
    Statistic,
    attack_strength,
    bootstrap,
    cell_mean,
    crossed_bootstrap,
    distance_interval,
    halves,
    halves_interval,
    hierarchical_bootstrap,
    percentile_interval,
    protection_rate,
    rate_beyond,
    strength_ratio,
)
from apdm.seeding import generator

NORMAL_95 = 1.959964  # a normal distribution's 97.5th percentile


def mean(sample: np.ndarray) -> float:
    return float(sample.mean())


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def cell(subjects: int, seeds: int, images: int, seed: int) -> list[list[np.ndarray]]:
    return [list(subject) for subject in normal(seed, subjects, seeds, images)]


def shifted(values: list[list[np.ndarray]], by: float) -> list[list[np.ndarray]]:
    return [[images + by for images in subject] for subject in values]


def redrawn_means(cells: Mapping[str, list[list[np.ndarray]]], draws: int = 500) -> Mapping[str, np.ndarray]:
    """The means of each cell in every draw."""
    seen: list[Mapping[str, np.ndarray]] = []

    def spy(means: Mapping[str, np.ndarray]) -> np.ndarray:
        seen.append(means)
        return next(iter(means.values()))

    hierarchical_bootstrap(spy, cells, draws=draws, seed=0)
    return seen[-1]


def width(interval: Interval) -> float:
    return interval.high - interval.low


def test_the_interval_of_a_mean_is_as_wide_as_the_normal_one() -> None:
    sample = normal(0, 400)
    interval = bootstrap(mean, sample, seed=1)
    assert interval.value == sample.mean()
    assert interval.low < interval.value < interval.high
    assert width(interval) == pytest.approx(2 * NORMAL_95 * sample.std() / math.sqrt(400), rel=0.08)


def test_two_samples_are_redrawn_each_by_itself() -> None:
    sample = normal(0, 400)
    interval = bootstrap(lambda a, b: mean(a) - mean(b), sample, sample, seed=1)
    expected = 2 * NORMAL_95 * math.sqrt(2) * sample.std() / math.sqrt(400)
    assert interval.value == 0
    assert width(interval) == pytest.approx(expected, rel=0.08)


def test_the_seed_decides() -> None:
    sample, cells = normal(0, 30), {"a": cell(2, 3, 5, seed=1)}
    assert bootstrap(mean, sample, seed=1) == bootstrap(mean, sample, seed=1)
    assert bootstrap(mean, sample, seed=1) != bootstrap(mean, sample, seed=2)
    first, again, other = (hierarchical_bootstrap(lambda m: m["a"], cells, seed=s) for s in (1, 1, 2))
    assert first == again != other


def test_an_empty_sample_is_refused() -> None:
    with pytest.raises(InputError, match="empty"):
        bootstrap(mean, np.array([]), seed=0)


def test_the_ends_are_the_percentiles_of_the_repetitions() -> None:
    interval = percentile_interval(0.5, np.random.default_rng(0).permutation(np.arange(1000.0)))
    assert interval == Interval(0.5, 25, 974)  # 25 of the thousand lie below, 25 above


def test_undefined_repetitions_count_on_either_side() -> None:
    repeated = np.arange(1000.0)
    repeated[500:510] = np.nan
    assert percentile_interval(0.5, repeated) == Interval(0.5, 15, 984)
    repeated[500:530] = np.nan
    assert percentile_interval(0.5, repeated) == Interval(0.5, -math.inf, math.inf)


def test_an_undefined_value_has_no_interval() -> None:
    interval = percentile_interval(math.nan, np.arange(1000.0))
    assert interval.as_dict() == {"value": None, "low": None, "high": None}


def test_a_cell_counts_subjects_alike_and_attack_seeds_alike() -> None:
    ragged = [[np.array([1.0, 3.0])], [np.array([4.0]), np.array([6.0, 6.0, 9.0])]]
    assert cell_mean(ragged) == (2 + (4 + 7) / 2) / 2
    interval = hierarchical_bootstrap(lambda m: m["a"], {"a": ragged}, seed=0)
    assert interval.value == cell_mean(ragged)


def test_images_are_redrawn_within_one_subject_and_seed() -> None:
    sample = normal(0, 400)
    interval = hierarchical_bootstrap(lambda m: m["a"], {"a": [[sample]]}, seed=1)
    assert width(interval) == pytest.approx(2 * NORMAL_95 * sample.std() / math.sqrt(400), rel=0.08)


def test_attack_seeds_are_redrawn() -> None:
    sample = normal(0, 400)
    one_subject = [[np.full(3, value) for value in sample]]
    interval = hierarchical_bootstrap(lambda m: m["a"], {"a": one_subject}, seed=1)
    assert width(interval) == pytest.approx(2 * NORMAL_95 * sample.std() / math.sqrt(400), rel=0.08)


def test_subjects_are_redrawn() -> None:
    sample = normal(0, 400)
    one_seed = [[np.full(3, value)] for value in sample]
    interval = hierarchical_bootstrap(lambda m: m["a"], {"a": one_seed}, seed=1)
    assert width(interval) == pytest.approx(2 * NORMAL_95 * sample.std() / math.sqrt(400), rel=0.08)


def test_attack_seeds_and_images_come_from_the_chosen_subject() -> None:
    ragged = [[np.array([0.0])], [np.array([100.0, 102.0]), np.array([200.0] * 5)]]
    of_seeds = (100.0, 101.0, 102.0, 200.0)
    possible = {0.0, *((a + b) / 2 for a in of_seeds for b in of_seeds)}  # means of one subject
    means = redrawn_means({"a": ragged})["a"]
    assert set(means) <= {(a + b) / 2 for a in possible for b in possible}
    assert {0.0, 200.0} <= set(means)


def test_levels_with_one_member_keep_it() -> None:
    interval = hierarchical_bootstrap(lambda m: m["a"], {"a": [[np.array([0.7])]]}, seed=0)
    assert interval == Interval(0.7, 0.7, 0.7)


def test_subjects_and_attack_seeds_are_paired_across_cells() -> None:
    flat = [[np.full(3, value) for value in subject] for subject in normal(0, 4, 3)]
    cells = {"unprotected": flat, "protected": shifted(flat, -0.5)}
    interval = hierarchical_bootstrap(lambda m: m["unprotected"] - m["protected"], cells, seed=0)
    assert (interval.low, interval.high) == pytest.approx((0.5, 0.5), abs=1e-12)
    means = redrawn_means(cells)
    assert np.ptp(means["unprotected"]) > 0.5


def test_cells_with_other_numbers_of_seeds_still_share_the_subjects() -> None:
    per_subject = normal(0, 4)
    cells = {
        "attacked": [[np.full(3, value)] * 3 for value in per_subject],
        "class": [[np.full(7, value)] for value in per_subject],
    }
    means = redrawn_means(cells)
    assert np.allclose(means["attacked"], means["class"])


def test_images_are_not_paired_across_cells() -> None:
    images = [[normal(0, 30)]]
    means = redrawn_means({"a": images, "b": images})
    assert abs(np.corrcoef(means["a"], means["b"])[0, 1]) < 0.15


def test_another_cell_changes_nothing() -> None:
    a, b = cell(2, 3, 5, seed=0), cell(2, 3, 5, seed=1)
    alone = hierarchical_bootstrap(lambda m: m["a"], {"a": a}, seed=0)
    assert hierarchical_bootstrap(lambda m: m["a"], {"b": b, "a": a}, seed=0) == alone


def similarity_cells(strength: float, rate: float) -> dict[str, list[list[np.ndarray]]]:
    noise = cell(2, 3, 30, seed=0)
    scaled = [[0.01 * images for images in subject] for subject in noise]
    class_, real = 0.1, 0.9
    attacked = class_ + strength * (real - class_)
    return {
        "class": shifted(scaled, class_),
        "real": shifted(scaled, real),
        "unprotected": shifted(scaled, attacked),
        "protected": shifted(scaled, attacked - rate * (attacked - class_)),
    }


@pytest.mark.parametrize("wanted", [0.0, 0.3, 1.0, 1.4, -0.2])
def test_strength_and_rate_are_what_the_cells_were_made_with(wanted: float) -> None:
    strength = hierarchical_bootstrap(attack_strength, similarity_cells(wanted, 0.5), seed=0)
    assert strength.value == pytest.approx(wanted, abs=1e-12)
    rate = hierarchical_bootstrap(protection_rate, similarity_cells(0.8, wanted), seed=0)
    assert rate.value == pytest.approx(wanted, abs=1e-12)
    for interval in (strength, rate):
        assert interval.low < wanted < interval.high
        assert width(interval) < 0.03


def test_rates_by_hand() -> None:
    means = {"class": 0.2, "real": 0.8, "unprotected": 0.6, "protected": 0.3}
    arrays = {key: np.array([value]) for key, value in means.items()}
    assert attack_strength(arrays)[0] == pytest.approx(0.4 / 0.6)
    assert protection_rate(arrays)[0] == pytest.approx(0.3 / 0.4)
    rival = {**arrays, "protected": np.array([0.5])}
    beyond = rate_beyond({**arrays, "rival": rival["protected"]})
    assert beyond[0] == pytest.approx(0.3 / 0.4 - protection_rate(rival)[0]) == pytest.approx(0.2 / 0.4)


@pytest.mark.parametrize("statistic", [attack_strength, protection_rate])
def test_rates_do_not_change_with_the_scale_of_similarity(statistic: object) -> None:
    cells = similarity_cells(0.7, 0.4)
    scaled = {key: [[5 * row for row in subject] for subject in value] for key, value in cells.items()}
    first = hierarchical_bootstrap(statistic, cells, seed=0)  # type: ignore[arg-type]
    second = hierarchical_bootstrap(statistic, scaled, seed=0)  # type: ignore[arg-type]
    assert (first.value, first.low, first.high) == pytest.approx((second.value, second.low, second.high))


def test_numerator_and_denominator_come_from_the_same_draw() -> None:
    flat = [[np.full(3, 1 + abs(value))] for value in normal(0, 6)]
    zero = [[np.zeros(3)]] * 6
    half = [[images / 2 for images in subject] for subject in flat]
    cells = {"unprotected": flat, "protected": half, "class": zero}
    rate = hierarchical_bootstrap(protection_rate, cells, seed=0)
    assert (rate.value, rate.low, rate.high) == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize("statistic", [protection_rate, rate_beyond, strength_ratio])
def test_an_attack_that_leads_away_from_the_subject_gains_nothing(statistic: Statistic) -> None:
    """From .6 to .55, and to .52 or .58 on a protected model: part of a loss would look like protection."""
    levels = {"class": 0.6, "unprotected": 0.55, "protected": 0.58, "rival": 0.52}
    cells = {key: [[np.array([level])]] for key, level in levels.items()}
    assert math.isnan(hierarchical_bootstrap(statistic, cells, seed=0).value)


def test_a_judge_that_finds_the_class_more_like_the_subject_than_itself_has_no_strength_to_tell() -> None:
    cells = {key: [[np.array([it])]] for key, it in (("class", 0.6), ("real", 0.5), ("unprotected", 0.55))}
    assert math.isnan(hierarchical_bootstrap(attack_strength, cells, seed=0).value)


def test_an_attack_that_gains_nothing_has_no_protection_rate() -> None:
    cells = {key: [[np.ones(3)]] for key in ("class", "unprotected", "protected")}
    rate = hierarchical_bootstrap(protection_rate, cells, seed=0)
    assert rate.as_dict() == {"value": None, "low": None, "high": None}


def test_a_denominator_that_often_vanishes_leaves_the_ends_open() -> None:
    gained = [[np.array([0.2])], [np.array([0.0])], [np.array([0.3])]]  # all from the second: 1 draw in 27
    cells = {"unprotected": gained, "protected": [[np.zeros(1)]] * 3, "class": [[np.zeros(1)]] * 3}
    rate = hierarchical_bootstrap(protection_rate, cells, seed=0)
    assert rate.as_dict() == {"value": pytest.approx(1.0), "low": None, "high": None}


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"a": [[np.ones(2)]], "b": [[np.ones(2)]] * 2}, "a, b do not hold the same subjects"),
        ({"a": [[np.ones(2)], []]}, "'a' has a subject without a value"),
        ({"a": [[np.ones(2), np.array([])]]}, "'a' has a subject without a value"),
        ({"a": []}, "'a' has a subject without a value"),
        ({}, "do not hold the same subjects"),
        ({"a": [[np.array([1.0, math.nan])]]}, "'a' holds values that are not finite"),
    ],
)
def test_cells_that_cannot_be_used_are_refused(cells: dict[str, list[list[np.ndarray]]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        hierarchical_bootstrap(lambda m: m["a"], cells, seed=0)


def test_the_usual_size_takes_less_than_a_second() -> None:
    cells = similarity_cells(0.7, 0.4)
    start = time.process_time()
    hierarchical_bootstrap(protection_rate, cells, draws=2000, seed=0)
    assert time.process_time() - start < 1


def test_a_half_has_half_of_the_members_without_repetition() -> None:
    rows = halves(7, 200, generator(0, "halves"))
    assert rows.shape == (200, 7)
    assert set(rows.sum(1).tolist()) == {3}
    assert set(rows.flatten().tolist()) == {0, 1}
    assert rows.mean(0).numpy() == pytest.approx(np.full(7, 3 / 7), abs=0.15)


def test_a_distances_interval_has_the_spread_of_the_halves_about_the_value() -> None:
    found = distance_interval(5.0, np.array([7.0, 8.0, 9.0]))  # standard deviation 1, another centre
    assert (found.value, found.low, found.high) == pytest.approx((5.0, 3.04, 6.96))
    assert distance_interval(1.0, np.array([7.0, 8.0, 9.0])).low == 0
    assert distance_interval(-1e-12, np.zeros(3)).value == 0  # rounding


def test_pairs_stay_together_when_they_are_redrawn() -> None:
    """Every error grown by 3 %, whatever its size: the ratio is 1.03 in every redraw."""
    before = np.array([0.1, 1.0, 7.0])
    matrix = np.stack([before, 1.03 * before, 1.03 * before], axis=1)[..., None]
    interval = crossed_bootstrap(lambda was, now: float(now.mean() / was.mean()), matrix, seed=0)
    assert (interval.value, interval.low, interval.high) == pytest.approx((1.03, 1.03, 1.03))


def test_tasks_count_alike_and_are_redrawn_each_by_itself() -> None:
    """One thing that lost 1 and three that lost nothing: half a loss on the mean, whatever is redrawn."""
    one, three = np.array([[1.0, 0.0]])[..., None], np.zeros((3, 2, 1))
    found = crossed_bootstrap(lambda was, now: float((was - now).mean()), one, three, seed=0)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_things_are_redrawn() -> None:
    """Two captions, of which one lost everything: redrawn they are both whole or both lost, too."""
    matrix = np.array([[1.0, 0.0], [1.0, 1.0]])[..., None]
    found = crossed_bootstrap(lambda was, now: float((was - now).mean()), matrix, seed=0)
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)


def test_models_are_redrawn_too() -> None:
    """Two protected models, of which one lost everything: redrawn they are both whole or both lost, too."""
    matrix = np.array([[1.0, 1.0, 0.0]] * 4)[..., None]
    found = crossed_bootstrap(lambda was, now: float((was - now).mean()), matrix, seed=0)
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)


def test_a_difference_of_distances_has_the_spread_of_halves_and_models() -> None:
    same = np.array([[-2.0, 4.0, 5.0, 6.0]] * 2)  # of halves: variance 2/3, another centre
    found = halves_interval(same, seed=0)
    assert found.value == -2.0
    assert (found.high - found.value) == pytest.approx(1.96 * (2 / 3) ** 0.5, rel=0.05)
    assert found.high - found.value == pytest.approx(found.value - found.low)
    apart = halves_interval(np.array([[0.0, 0.0, 0.0], [4.0, 4.0, 4.0]]), seed=0)  # means 0, 2 and 4
    assert apart.value == 2.0
    assert apart.high - 2.0 == pytest.approx(1.96 * 2**0.5, rel=0.05)
