"""The verdict in words: which configuration leads, and whether the difference is significant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gansweep.judging.against import obstacle
from gansweep.judging.leaderboard import Board, Row
from gansweep.judging.statistics import Comparison, Summary, compare, holm
from gansweep.judging.statuses import NEVER_LEARNED
from gansweep.records.notation import listing, number, plural, probability, rounded

NAMED = 2  # rows that a sentence names; more are counted


@dataclass(frozen=True)
class Rival:
    """A row that is compared with the first."""

    row: Row
    summary: Summary
    against: Comparison

    @property
    def named_with_p(self) -> str:
        return f"{self.row.name}{_p_words(self.against, ' (', ')')}"


def verdict(board: Board) -> str:
    """A few sentences: which row has the best mean, by how much, and whether that is significant.

    There is a clear winner only where a t-test with Holm's correction separates it from every other
    row: among many, some row is soon the best by chance.
    """
    objectives = max((len(run.sweep.objectives) for run in board.runs if run.sweep), default=1)
    if not board.ranked:
        return _nobody(board)
    first = board.ranked[0]
    text = _leader(board, first) + (f" {first.name} {first.flaw}." if first.flaw else "")
    if objectives == 1:
        return text
    return (
        f"{text} This ranks by the first of {objectives} objectives; the Pareto front weighs "
        "all of them."
    )


def rivals_of(board: Board, first: Row) -> list[Rival]:
    """The rows that are compared with the first: the others of its stage without a flaw."""
    found = [row for row in _others(board, first) if not obstacle(first, row)]
    base, *others = (row.by_seed(board.ranks(row.stage) or "", board.at) for row in (first, *found))
    tested = holm([compare(base, other) for other in others])
    pairs = [(row, board.judged(row), one) for row, one in zip(found, tested, strict=True)]
    return [Rival(row, summary, one) for row, summary, one in pairs if summary is not None]


def _others(board: Board, first: Row) -> list[Row]:
    """Confirmed rows are not compared with trials, whose values are the best of many."""
    rows = [row for row in board.ranked if row is not first]
    return [row for row in rows if first.stage == "trial" or row.stage != "trial"]


def _leader(board: Board, first: Row) -> str:
    summary, metric = board.judged(first), board.ranks(first.stage)
    assert summary is not None, "it is ranked"
    better = "higher" if board.direction_of(metric) == "maximize" else "lower"
    reached = f"{metric} {summary} over {plural(summary.n, 'seed')} ({better} is better)"
    others = _others(board, first)
    if not others:
        text = f"{first.name} reaches {reached}."
        if len(board.ranked) > 1:
            text += (
                " No other configuration was confirmed with fresh seeds, so none is compared "
                "with it."
            )
        return text
    rivals = rivals_of(board, first)
    level = [one for one in rivals if not one.against.apart]
    clear = [one for one in rivals if one.against.apart]
    if level:
        text = f"No clear winner: {first.name} has the best mean, {reached}. {_contested(level)}"
        text += f" It is clear of {_named(clear)}." if clear else ""
    elif others[0].rank == first.rank:  # with a flaw, as all rows then
        text = f"No clear winner: {first.name} has {reached}, and {others[0].name} has the same."
    else:
        text = f"{first.name} leads with {reached}. {_behind(board, clear, others)}"
    nearest = level[0].row if level else others[0]
    return f"{text}{_left_out(others)}{_method(rivals)}{_unequal_clocks(first, nearest)}"


def _nobody(board: Board) -> str:
    if any(row.excluded and board.judged(row) for row in board.rows):
        return "There is no winner yet: no trial has all its seeds and meets every constraint."
    if any(run.complete for run in board.runs):
        return "There is no winner: no score is comparable over these runs."
    ended = [run for run in board.runs if run.status == NEVER_LEARNED]
    if ended:
        return f"There is no winner: {plural(len(ended), 'run')} ended, and never learned."
    return "There is no winner yet: no run has finished."


def _behind(board: Board, clear: Sequence[Rival], others: Sequence[Row]) -> str:
    """About the second, where the first is significantly better than all rivals."""
    if not clear:
        summary = board.judged(others[0])
        return f"{others[0].name} comes next with {summary}, but {others[0].flaw}."
    second = clear[0]
    text = f"{second.row.name} follows with {second.summary}, {_distance(second)}"
    least = max(clear, key=lambda one: one.against.p or 0.0)
    if least is not second:
        return f"{text}; the least certain of the {len(clear)} is {least.named_with_p}."
    return f"{text}."


def _contested(level: Sequence[Rival]) -> str:
    """About the rows that may be as good as the first; the nearest is named."""
    nearest, more = level[0], level[1:]
    also = f" The same holds for {_named(more)}." if more else ""
    text = f"{nearest.row.name} follows with {nearest.summary}"
    if nearest.against.difference == 0:
        return f"{nearest.row.name} has the same.{also}"
    if nearest.against.error is None:
        return f"{text}; with a single seed, their order may be chance.{also}"
    return f"{text}, {_distance(nearest)}: run more seeds before calling one better.{also}"


def _named(rivals: Sequence[Rival]) -> str:
    if len(rivals) > NAMED:
        return f"{len(rivals)} others"
    return listing([one.named_with_p for one in rivals], "and")


def _distance(rival: Rival) -> str:
    """ "worse by 1.31, [0.42, 2.20], p = 0.012"."""
    one = rival.against
    if not one.error or one.interval is None:
        return f"worse by {number(abs(one.difference))}, and neither varies over its seeds"
    low, high = sorted(math.copysign(1, one.difference) * bound for bound in one.interval)
    bounds = f"[{rounded(low, one.error)}, {rounded(high, one.error)}]"
    return f"worse by {rounded(abs(one.difference), one.error)} {bounds}{_p_words(one, ', ', '')}"


def _p_words(one: Comparison, before: str, after: str) -> str:
    return "" if one.p is None else f"{before}{probability(one.p)}{after}"


def _left_out(others: Sequence[Row]) -> str:
    """The rows that are not compared: their means leave out seeds, or they break a constraint."""
    flawed = [f"{row.name}, which {row.flaw}" for row in others if row.flaw]
    if not flawed or len(flawed) == len(others):
        return ""
    if len(flawed) > NAMED:
        return f" Not compared are {len(flawed)} that lost seeds or break a constraint."
    return f" Not compared: {'; '.join(flawed)}."


def _method(rivals: Sequence[Rival]) -> str:
    """The test behind p and the intervals; "" without one."""
    tested = [one.against for one in rivals if one.against.p is not None]
    if not tested:
        return ""
    kinds = {one.paired for one in tested}
    words = "Paired t-test over shared seeds" if True in kinds else "Welch's t-test"
    words += ", Welch's where they differ" if len(kinds) > 1 else ""
    if len(tested) == 1:
        return f" ({words}; in brackets the 95 % interval of the difference.)"
    return f" ({words}; p and the interval in brackets with Holm's correction for {len(tested)}.)"


def _unequal_clocks(first: Row, second: Row) -> str:
    a, b = first.mean_of("kimg") or 0.0, second.mean_of("kimg") or 0.0
    if abs(a - b) <= 0.05 * max(a, b):
        return ""
    return f" They did not see equally many images: {number(a)} and {number(b)} kimg."
