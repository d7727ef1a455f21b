"""Levels, trends and swings of curves, against values computed by hand."""

import itertools
import math

import pytest
from diagnosis_evidence import points

from gansweep.diagnosis.curves import clocks, finite, late, level, peak, swings, trend


def test_the_late_part_is_the_last_third_of_the_clock() -> None:
    assert [kimg for kimg, _ in late(points(range(9), until=90))] == [70, 80, 90]


def test_the_late_part_reaches_back_to_the_middle_where_points_are_few() -> None:
    assert [value for _, value in late(points(range(5)))] == [2, 3, 4]
    assert late(points(range(4))) == []  # two in the second half, the others before it
    assert [value for _, value in late(points(range(4)), least=1)] == [2, 3]
    assert late([]) == []


def test_what_is_not_finite_counts_for_nothing_in_the_late_part() -> None:
    assert late([(60, 1.0), (80, math.nan), (90, 2.0), (100, 3.0)]) == [(60, 1), (90, 2), (100, 3)]


def test_values_that_are_not_finite_are_left_out() -> None:
    assert finite([(1, math.nan), (2, math.inf), (3, 1.0)]) == [(3, 1.0)]
    assert math.isnan(level([]))


def test_a_peak_is_no_single_lucky_value() -> None:
    assert peak(points([1, 1, 9, 1, 3, 4, 3])) == (pytest.approx(400 / 7), 3)
    assert peak(points([5, 2, 2, 2, 5]), min)[1] == 2


@pytest.mark.parametrize("n", [4, 5, 6])
def test_a_trend_is_certain_as_often_as_its_level_says(n: int) -> None:
    """Over all orders of n different values, at most 5 % count as a rise by chance."""
    orders = list(itertools.permutations(range(n)))
    rises = sum(trend(points(order)) == 1 for order in orders)
    falls = sum(trend(points(order)) == -1 for order in orders)
    assert 0 < rises <= 0.05 * len(orders)
    assert falls == rises


def test_three_points_show_no_trend_and_many_are_thinned() -> None:
    assert trend(points([1, 2, 3])) == 0
    assert trend(points([1, 2, 3, 4])) == 1
    assert trend(points(range(100_000, 0, -1))) == -1
    assert trend(points([7] * 50)) == 0


@pytest.mark.parametrize(
    ("values", "turns"),
    [
        ([], 0),
        ([0, 0.4, 0.1, 0.5], 0),
        ([0, 1], 1),
        ([0, 0.5, 1], 1),
        ([0, 1, 0], 2),
        ([0, 1, 0.4, 0.9, 0], 2),
        ([1, 0, 1, 0, 1], 4),
        ([0, 0.2, 0.4, 0.6, 0.8, 0.6, 0.4, 0.2, 0, 0.3, 0.8], 3),
    ],
)
def test_swings_count_the_turns_of_at_least_a_size(values: list[float], turns: int) -> None:
    assert swings(values, 0.8) == turns


def test_clocks_are_the_first_and_the_last() -> None:
    assert clocks(points([1, 2, 3, 4])) == (25, 100)
