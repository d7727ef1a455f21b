"""Whether the seeds tell two configurations apart, and what a verdict makes of it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from report_records import FID, write_run
from scipy.special import stdtrit
from scipy.stats import ttest_ind, ttest_rel

from gansweep.judging.leaderboard import leaderboard
from gansweep.judging.statistics import Comparison, compare, holm
from gansweep.judging.verdict import verdict
from gansweep.records.read import load


def seeds(*values: float, first: int = 0) -> dict[int, float]:
    return dict(enumerate(values, start=first))


def of_p(p: float, freedom: float = 10.0) -> Comparison:
    """A comparison whose t-test gives p, with an error of 1."""
    return Comparison(float(stdtrit(freedom, 1 - p / 2)), 1.0, freedom, p=p)


def test_welch_of_a_worked_example() -> None:
    # means 2 and 5, both variances 1, n = 3: t = 3 / sqrt(2/3) = 3.674 with 4 degrees of freedom
    one = compare(seeds(1.0, 2.0, 3.0), seeds(4.0, 5.0, 6.0, first=100))
    assert (one.difference, one.freedom, one.paired) == (3.0, pytest.approx(4.0), False)
    assert one.p == pytest.approx(0.02131, abs=1e-5)
    # t of 4 degrees of freedom at 97.5 %: 2.776445; times sqrt(2/3) = 2.266958
    assert one.interval == pytest.approx((3 - 2.266958, 3 + 2.266958))


def test_other_seeds_give_welchs_test_as_scipy_has_it() -> None:
    a, b = [2.1, 2.9, 3.7, 2.2], [4.0, 9.0, 5.5]
    one, test = compare(seeds(*a), seeds(*b, first=50)), ttest_ind(b, a, equal_var=False)
    assert one.p == pytest.approx(test.pvalue, rel=1e-12)
    assert one.interval == pytest.approx(tuple(test.confidence_interval(0.95)), rel=1e-12)


def test_the_same_seeds_give_the_paired_test_as_scipy_has_it() -> None:
    a, b = [12.0, 30.0, 21.0, 45.0], [13.0, 31.5, 21.9, 46.7]
    one, test = compare(seeds(*a), seeds(*b)), ttest_rel(b, a)
    assert one.paired and one.p == pytest.approx(test.pvalue, rel=1e-9)
    assert one.interval == pytest.approx(tuple(test.confidence_interval(0.95)), rel=1e-9)
    assert one.apart and not compare(seeds(*a), seeds(*b, first=9)).apart
    shuffled = dict(reversed(seeds(*b).items()))
    assert compare(seeds(*a), shuffled) == one, "by seed, not by place"


def test_single_seeds_and_seeds_that_do_not_vary_have_no_p() -> None:
    alone = compare(seeds(1.0), seeds(2.0, 3.0, 4.0))
    assert (alone.p, alone.interval, alone.apart) == (None, None, False)
    constant = compare(seeds(8.0, 8.0), seeds(7.0, 7.0, 7.0))
    assert (constant.p, constant.difference, constant.apart) == (None, -1.0, True)
    rounding = compare(seeds(62.2865, 62.2865), seeds(62.2865, 62.2865 + 9e-15))
    assert (rounding.p, rounding.difference, rounding.apart) == (None, 0.0, False)


def test_pairs_that_all_differ_by_the_same_are_tested_by_welch() -> None:
    one = compare(seeds(1.0, 2.0, 3.0), seeds(1.1, 2.1, 3.1))
    assert not one.paired and one.p == pytest.approx(ttest_ind([1, 2, 3], [1.1, 2.1, 3.1]).pvalue)


def test_holms_correction_of_a_worked_example() -> None:
    # sorted 0.005, 0.01, 0.03, 0.04, times 4, 3, 2, 1, none below the one before it
    corrected = holm([of_p(p) for p in (0.01, 0.04, 0.03, 0.005)])
    assert [one.p for one in corrected] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [one.apart for one in corrected] == [True, False, False, True]
    assert [one.p for one in holm([of_p(0.8), of_p(0.7)])] == [1.0, 1.0]


def test_the_interval_of_a_difference_agrees_with_its_corrected_test() -> None:
    for ps in ([0.01, 0.04, 0.03, 0.005], [0.02, 0.03], [0.001, 0.2, 0.0166, 0.0168], [0.04]):
        for one in holm([of_p(p) for p in ps]):
            assert one.interval is not None
            assert (one.interval[0] > 0) == one.apart, (ps, one)


def test_comparisons_without_a_test_are_left_out_of_the_correction() -> None:
    alone = Comparison(1.0, None)
    assert [one.p for one in holm([alone, of_p(0.03), Comparison(2.0, 0.0)])] == [None, 0.03, None]


def verdict_of(directory: Path, **configurations: dict[int, float]) -> str:
    for model, values in configurations.items():
        for seed, value in values.items():
            place = directory / f"{model}-{seed}"
            if math.isnan(value):
                write_run(place, model=model, seed=seed, status="diverged", scores={})
            else:
                write_run(place, model=model, seed=seed, scores={FID: [value]})
    return verdict(leaderboard(load([directory])))


def test_a_leader_that_the_test_separates_from_all_others_leads(tmp_path: Path) -> None:
    # their 95 % intervals, [1.41, 3.33] and [3.10, 5.37], overlap; Welch's p is 0.006
    apart = verdict_of(tmp_path, a=seeds(1.98, 2.37, 2.76), b=seeds(3.78, 4.24, 4.70, first=10))
    assert apart.startswith("a leads with") and "p = 0.006" in apart and "overlap" not in apart
    assert "worse by 1.87 [0.89, 2.85]" in apart and "Welch's t-test" in apart


def test_shared_seeds_are_paired_and_the_verdict_says_so(tmp_path: Path) -> None:
    paired = verdict_of(tmp_path / "same", a=seeds(10.0, 20.0, 30.0), b=seeds(11.0, 21.2, 30.9))
    assert paired.startswith("a leads with") and "(Paired t-test over shared seeds" in paired
    other = verdict_of(
        tmp_path / "other", a=seeds(10.0, 20.0, 30.0), b=seeds(11.0, 21.2, 30.9, first=5)
    )
    assert other.startswith("No clear winner: a has the best mean") and "Welch's" in other


def test_many_rivals_make_each_test_stricter(tmp_path: Path) -> None:
    first, close = seeds(2.0, 2.5, 3.0), seeds(3.6, 4.2, 4.8, first=10)
    two = verdict_of(tmp_path / "two", a=first, b=close)
    assert two.startswith("a leads with") and "p = 0.021" in two and "Holm" not in two
    far = seeds(80.0, 81.0, 82.0, first=10)
    many = verdict_of(tmp_path / "many", a=first, **dict.fromkeys("bcde", close), f=far)
    assert many.startswith("No clear winner: a has the best mean") and "b follows with" in many
    # the smallest of the four that are alike is taken times 4, f's times 5
    p = 4 * ttest_ind([2.0, 2.5, 3.0], [3.6, 4.2, 4.8], equal_var=False).pvalue
    assert f"p = {p:.2g}: run more seeds" in many and "The same holds for 3 others." in many
    assert "It is clear of f (p < 0.0001)." in many and "Holm's correction for 5" in many


def test_the_noisiest_rival_is_named_where_it_is_the_least_certain(tmp_path: Path) -> None:
    text = verdict_of(
        tmp_path,
        a=seeds(10.0, 10.1, 9.9),
        b=seeds(20.0, 20.1, 19.9, first=10),
        c=seeds(40.0, 46.0, 43.0, first=10),
    )
    assert text.startswith("a leads with") and "b follows with" in text
    assert "the least certain of the 2 is c (p = 0.00" in text


def test_lost_seeds_are_counted_and_not_compared(tmp_path: Path) -> None:
    lost = seeds(11.0, 11.1, math.nan)
    text = verdict_of(tmp_path, a=seeds(10.0, 10.1, 9.9), b=seeds(20.0, 20.2, 19.9), c=lost)
    assert text.startswith("a leads with") and "b follows with" in text
    assert "Not compared: c, which lost 1 seed." in text


def test_seeds_that_do_not_vary_say_so(tmp_path: Path) -> None:
    text = verdict_of(tmp_path, a=seeds(7.0, 7.0), b=seeds(8.0, 8.0))
    assert text.startswith("a leads with") and "worse by 1, and neither varies" in text
    assert "p =" not in text
