"""Who leads a leaderboard, in words, and whether the seeds can tell."""

from __future__ import annotations

from collections.abc import Sequence

from gansweep.report.notation import listing, number, plural
from gansweep.report.statistics import Board, Row, Summary

NAMED = 2  # of the further rows that may be as good as the leader; more are counted


def verdict(board: Board) -> str:
    """A few sentences: who has the best mean, by how much, and whether the seeds can tell.

    A leader is called one only where its 95 % interval overlaps that of no other row. That asks
    more than Welch's test of two means does, as it should: the leader was picked as the best of
    all rows.
    """
    goals = max((len(run.sweep.goals) for run in board.runs if run.sweep), default=1)
    if not board.ranked:
        return _nobody(board)
    first = board.ranked[0]
    told = _leader(board, first) + (f" {first.name} {first.flaw}." if first.flaw else "")
    if goals == 1:
        return told
    return (
        f"{told} This ranks by the first of {goals} objectives; the Pareto front weighs "
        "all of them."
    )


def _leader(board: Board, first: Row) -> str:
    ranked, summary, metric = board.ranked, board.judged(first), board.ranks(first.stage)
    assert summary is not None, "it is ranked"
    better = "higher" if board.direction == "maximize" else "lower"
    reached = f"{metric} {summary} over {plural(summary.n, 'seed')} ({better} is better)"
    if len(ranked) == 1:
        return f"{first.name} reaches {reached}."
    others = [row for row in ranked[1:] if first.stage == "trial" or row.stage != "trial"]
    if not others:
        return (
            f"{first.name} reaches {reached}. No other configuration was confirmed with fresh "
            "seeds, so none is compared with it."
        )
    rivals = [row for row in others if not row.flaw and not _apart(board, first, row)]
    told = _contested(board, first, rivals) if rivals else _behind(board, first, others[0])
    opening = f"No clear winner: {first.name} has the best mean," if rivals else first.name
    verb = "" if rivals else " leads with"
    return f"{opening}{verb} {reached}. {told}{_unequal_clocks(first, (rivals or others)[0])}"


def _nobody(board: Board) -> str:
    if any(row.excluded and board.judged(row) for row in board.rows):
        return "There is no winner yet: no trial has all its seeds and meets every constraint."
    if any(run.complete for run in board.runs):
        return "There is no winner: no score is comparable over these runs."
    return "There is no winner yet: no run has finished."


def _apart(board: Board, first: Row, other: Row) -> bool:
    """Whether the 95 % intervals of both means are known and do not overlap."""
    a, b = board.judged(first), board.judged(other)
    if a is None or b is None or a.interval is None or b.interval is None:
        return False
    return a.interval[1] < b.interval[0] or b.interval[1] < a.interval[0]


def _behind(board: Board, first: Row, second: Row) -> str:
    """What is said of the second where the leader is clear of all that kept their seeds."""
    a, b = board.judged(first), board.judged(second)
    assert a is not None and b is not None, "both are ranked"
    if second.flaw:
        return f"{second.name} comes next with {b}, but {second.flaw}."
    p = welch(a, b)
    test = "" if p is None else f" (Welch's t-test, p = {p:.2g})"
    return f"{second.name} follows with {b}; their 95 % intervals do not overlap{test}."


def _contested(board: Board, first: Row, rivals: Sequence[Row]) -> str:
    """What is said of the rows that may be as good as the first, the nearest of them by name."""
    a, b = board.judged(first), board.judged(rivals[0])
    assert a is not None and b is not None, "both are ranked"
    nearest, more = rivals[0].name, [row.name for row in rivals[1:]]
    also = listing(more, "and") if len(more) <= NAMED else f"{len(more)} others"
    also = f" The same holds for {also}." if more else ""
    if a.mean == b.mean:
        return f"{nearest} has the same.{also}"
    if min(a.n, b.n) < 2:
        return f"{nearest} follows with {b}; with a single seed, their order may be chance.{also}"
    p = welch(a, b)
    test = "" if p is None else f" (Welch's t-test, p = {p:.2g})"
    return (
        f"{nearest} follows with {b}, and their 95 % intervals overlap{test}: run more seeds "
        f"before calling one better.{also}"
    )


def _unequal_clocks(first: Row, second: Row) -> str:
    a, b = first.mean_of("kimg") or 0.0, second.mean_of("kimg") or 0.0
    if abs(a - b) <= 0.05 * max(a, b):
        return ""
    return f" They did not see equally many images: {number(a)} and {number(b)} kimg."


def welch(a: Summary, b: Summary) -> float | None:
    """Two-sided p of Welch's t-test; None where neither varies. Both need two seeds or more."""
    if not (a.std or b.std):
        return None
    from scipy.stats import ttest_ind_from_stats

    assert a.std is not None and b.std is not None
    test = ttest_ind_from_stats(a.mean, a.std, a.n, b.mean, b.std, b.n, equal_var=False)
    return float(test.pvalue)
