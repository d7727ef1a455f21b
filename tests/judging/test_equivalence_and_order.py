"""Equivalence with a published figure and the order of rows, by values worked out elsewhere."""

from __future__ import annotations

import math
import random

import pytest

from gansweep.judging.agreement import Figure, equivalence, order_of, spread_of, within

OURS = [6.1, 6.4, 7.0, 5.8]


def test_equivalence_is_that_of_two_one_sided_welch_tests() -> None:
    """ttost_ind(usevar="unequal") of statsmodels 0.14 is the same sum: here it is done by hand for
    theirs of mean 6.3 and standard error 0.2 over 10 runs: sd 0.6325, our mean 6.325, se 0.2562.

    error = sqrt(0.2562^2 + 0.2^2) = 0.32500; freedom = 0.325^4 / (0.2562^4/3 + 0.2^4/9) = 6.8755;
    t below = (0.025 + 0.6325)/0.325 = 2.0229, above 1.8691; P(T > 1.8691) = 0.0522.
    """
    found = equivalence(OURS, Figure(6.3, 0.2, "se", 10))
    assert found is not None
    assert found.difference == pytest.approx(0.025)
    assert found.margin == pytest.approx(0.2 * math.sqrt(10))
    assert found.p == pytest.approx(0.0522, abs=2e-4)
    assert found.verdict == "cannot tell"


def test_equivalence_matches_scipys_one_sided_tests_of_two_samples() -> None:
    from scipy import stats

    theirs = [6.0, 6.9, 6.2, 5.7, 6.6, 6.4, 6.1, 7.1, 5.9, 6.3]
    sd = math.sqrt(sum((x - 6.32) ** 2 for x in theirs) / 9)
    found = equivalence(OURS, Figure(6.32, sd, "sd", 10))
    assert found is not None and found.p is not None
    up = stats.ttest_ind([x + sd for x in OURS], theirs, equal_var=False, alternative="greater")
    down = stats.ttest_ind([x - sd for x in OURS], theirs, equal_var=False, alternative="less")
    assert found.p == pytest.approx(max(up.pvalue, down.pvalue), rel=1e-9)
    assert found.differs_p == pytest.approx(
        stats.ttest_ind(OURS, theirs, equal_var=False).pvalue, rel=1e-9
    )


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([10.0, 10.1, 9.9, 10.05, 9.95], "agrees"),
        ([14.0, 14.1, 13.9, 14.05], "differs"),
        ([8.0, 12.5], "cannot tell"),
    ],
)
def test_a_verdict_needs_a_test(values: list[float], verdict: str) -> None:
    found = equivalence(values, Figure(10.0, 1.0, "sd", 10))
    assert found is not None and found.verdict == verdict
    low, high = found.interval or (0, 0)
    assert (verdict == "agrees") == (low > -1.0 and high < 1.0)


def test_nothing_is_tested_without_an_error_or_with_one_run() -> None:
    assert equivalence([1.0, 2.0], Figure(1.0)) is None
    assert equivalence([1.0], Figure(1.0, 0.1, "sd", 10)) is None
    assert equivalence([1.0, 1.1], Figure(1.0, 0.1, "sd")) is None  # of how many runs?


@pytest.mark.parametrize("values", [[math.nan], [math.nan, 0.5], [0.5, math.nan]])
def test_what_is_no_number_meets_no_figure(values: list[float]) -> None:
    found = within(values, 0.5, 1e-3)
    assert found is not None and found.verdict == "differs"


def test_a_calculated_figure_is_met_by_each_run_within_its_tolerance() -> None:
    near, far = within([0.5004, 0.4998], 0.5, 1e-3), within([0.5004, 0.502], 0.5, 1e-3)
    assert near is not None and near.verdict == "agrees"
    assert far is not None and far.verdict == "differs" and far.difference == pytest.approx(0.002)


def test_beside_a_lost_run_no_agreement_can_be_told() -> None:
    """With a figure that was calculated as with a published one; one that is far differs still."""
    near, far = within([0.5004], 0.5, 1e-3, lost=1), within([0.502], 0.5, 1e-3, lost=1)
    alone = within([], 0.5, 1e-3, lost=2)
    assert near is not None and (near.verdict, near.lost) == ("cannot tell", 1)
    assert far is not None and far.verdict == "differs"
    assert alone is not None and (alone.verdict, math.isnan(alone.difference)) == (
        "cannot tell",
        True,
    )
    assert within([], 0.5, 1e-3) is None
    for values in ([], [10.0], [10.0, 10.1, 9.9, 10.05]):
        found = equivalence(values, Figure(10.0, 1.0, "sd", 10), lost=2)
        assert found is not None and (found.verdict, found.p) == ("cannot tell", None)


def test_rows_with_one_median_are_in_no_order() -> None:
    """The first of three rows is above the others, which are equal: 4.5 of 27 pairs, p = 0.01."""
    found = order_of([(1, [7, 8, 9]), (2, [1, 2, 3]), (3, [1, 2, 3])])
    assert found is not None and found.statistic == 4.5
    assert found.opposite_p < 0.05 and found.verdict == "cannot tell"


def test_rows_may_come_in_any_order() -> None:
    """The first and the last have one published value."""
    mixed = order_of([(1, [1, 2]), (2, [5, 6, 7]), (1, [3, 4])])
    straight = order_of([(1, [1, 2]), (1, [3, 4]), (2, [5, 6, 7])])
    assert mixed is not None and straight is not None
    assert mixed.p == straight.p == pytest.approx(1 / 35)  # 7! / (4! 3!) ways, one in order


def test_the_order_of_three_rows_of_three_has_p_1_of_1680() -> None:
    """9! / (3!)^3 = 1680 ways, of which one has all 27 pairs in order."""
    found = order_of([(1, [1, 2, 3]), (2, [4, 5, 6]), (3, [7, 8, 9])])
    assert found is not None
    assert (found.verdict, found.statistic, found.pairs) == ("same", 27, 27)
    assert found.p == pytest.approx(1 / 1680)
    back = order_of([(3, [1, 2, 3]), (2, [4, 5, 6]), (1, [7, 8, 9])])
    assert back is not None and back.verdict == "opposite"


def test_few_runs_tell_no_order() -> None:
    """Two rows of two: six ways, so p is 1/6 at best."""
    found = order_of([(1, [1.0, 2.0]), (2, [3.0, 4.0])])
    assert found is not None and found.verdict == "cannot tell"
    assert found.p == pytest.approx(1 / 6)
    assert order_of([(1, [1.0]), (1, [2.0])]) is None  # the paper has them equal
    assert order_of([(1, [1.0]), (2, [])]) is None


def test_drawn_arrangements_come_near_the_counted_ones() -> None:
    from scipy import stats

    low, high = [1.0, 4.0, 2.0, 5.0, 3.0, 8.5, 0.5, 6.5], [3.5, 7.0, 6.0, 9.0, 8.0, 2.5, 10.0, 4.5]
    more = [[5.5, 1.5, 9.5, 7.5]]
    found = order_of([(1, low), (2, high)])  # 12,870 ways: counted
    exact = stats.mannwhitneyu(high, low, alternative="greater", method="exact")
    assert found is not None and found.p == pytest.approx(exact.pvalue, rel=1e-9)
    drawn = order_of([(1, low), (2, high), (2, more[0])])
    merged = stats.mannwhitneyu(high + more[0], low, alternative="greater", method="exact")
    assert drawn is not None and drawn.p == pytest.approx(merged.pvalue, abs=0.01)


def test_noise_of_evaluation_is_kept_apart_from_that_of_training() -> None:
    """Two runs: means 11 and 21, each scored twice, 1 from its mean: pooled sd sqrt(4/2). Of the
    variance 50 of the means half of that 2 is of the scorings."""
    found = spread_of([[10.0, 12.0], [20.0, 22.0]])
    assert found is not None
    assert (found.mean, found.n) == (16.0, 2)
    assert found.training == pytest.approx(math.sqrt(50 - 2 / 2))
    assert found.evaluation == pytest.approx(math.sqrt(2))
    same = spread_of([[10.0, 12.0], [10.5, 12.5]])  # no more than scoring explains
    assert same is not None and same.training == 0
    one = spread_of([[10.0]])
    assert one is not None and one.interval is None and one.evaluation is None


def test_interval_of_two_runs_ends_where_the_score_does() -> None:
    """98 and 100 of 100: 99 +- 12.7 by Student's t, of which 86.3 to 100 is possible."""
    found = spread_of([[98.0], [100.0]], possible=(0.0, 100.0))
    assert found is not None
    assert found.interval == (pytest.approx(99 - 12.706, abs=1e-3), 100.0)


def test_three_runs_of_each_of_two_rows_can_show_their_order() -> None:
    """All nine pairs in order are one of 20 arrangements; one pair out of order, two of them."""
    whole = order_of([(1, [1.0, 2.0, 3.0]), (2, [4.0, 5.0, 6.0])])
    broken = order_of([(1, [1.0, 2.0, 4.0]), (2, [3.0, 5.0, 6.0])])
    assert whole is not None and broken is not None
    assert (whole.p, whole.verdict) == (0.05, "same")
    assert (broken.p, broken.verdict) == (0.1, "cannot tell")


def test_the_statistic_counts_pairs_of_runs_one_by_one() -> None:
    rng = random.Random(0)
    for _ in range(20):
        groups = [
            (rng.choice([1.0, 2.0, 3.0]), [float(rng.randint(0, 4)) for _ in range(3)])
            for _ in range(4)
        ]
        pairs = [
            (a, b)
            for low, first in groups
            for high, second in groups
            if low < high
            for a in first
            for b in second
        ]
        found = order_of(groups)
        if not pairs:
            assert found is None
            continue
        assert found is not None and found.pairs == len(pairs)
        assert found.statistic == sum(0.5 if a == b else float(a < b) for a, b in pairs)


def test_lost_runs_beside_the_seeds_of_a_paper_are_ordered() -> None:
    """Fifty seeds of each of four rows: 15,000 pairs of runs under 20,000 arrangements."""
    rng = random.Random(0)
    rows = [(float(k), [rng.gauss(k, 1.0) for _ in range(49)] + [-math.inf]) for k in range(4)]
    found = order_of(rows)
    assert found is not None and (found.verdict, found.pairs) == ("same", 15_000)
    assert found.p == pytest.approx(1 / 20_001)
