"""Who leads a leaderboard, in words, and whether the seeds can tell."""

from __future__ import annotations

from gansweep.report.notation import number, plural
from gansweep.report.statistics import Board, Row, Summary


def verdict(board: Board) -> str:
    """One or two sentences: who leads, by how much, and whether the seeds can tell."""
    goals = max((len(run.sweep.goals) for run in board.runs if run.sweep), default=1)
    if goals == 1 or not board.ranked:
        return _leader(board)
    return (
        f"{_leader(board)} This ranks by the first of {goals} objectives; the Pareto front weighs "
        "all of them."
    )


def _leader(board: Board) -> str:
    ranked = board.ranked
    summary = board.judged(ranked[0]) if ranked else None
    if summary is None:
        if any(row.excluded and board.judged(row) for row in board.rows):
            return "There is no winner yet: no trial has all its seeds and meets every constraint."
        if any(run.complete for run in board.runs):
            return "There is no winner: no score is comparable over these runs."
        return "There is no winner yet: no run has finished."
    first, metric = ranked[0], board.ranks(ranked[0].stage)
    better = "higher" if board.direction == "maximize" else "lower"
    seeds = plural(summary.n, "seed")
    if len(ranked) == 1:
        return f"{first.label} reaches {metric} {summary} ({seeds}; {better} is better)."
    opening = f"{first.label} leads with {metric} {summary} over {seeds} ({better} is better)."
    second, other = ranked[1], board.judged(ranked[1])
    if other is None or (second.stage == "trial" and first.stage != "trial"):
        return f"{opening} No other configuration was confirmed with fresh seeds."
    return f"{opening} {_gap(second, summary, other)}{_unequal_clocks(first, second)}"


def _gap(second: Row, summary: Summary, other: Summary) -> str:
    behind = f"{second.label} follows with {other}"
    if min(summary.n, other.n) < 2:
        return f"{behind}; with a single seed, their order may be chance."
    p = welch(summary, other)
    if p is None:
        return f"{behind}; each value is the same for every seed."
    if p < 0.05:
        return f"{behind}, a gap that seeds hardly explain (Welch's t-test, p = {p:.2g})."
    return (
        f"{behind}: these seeds do not tell the two apart (Welch's t-test, p = {p:.2g}), "
        "so run more of them before calling one better."
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
