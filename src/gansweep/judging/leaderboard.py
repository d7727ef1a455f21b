"""The leaderboard: configurations over their seeds, ranked, and the scores that may be compared."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from gansweep.errors import UserError, nearest
from gansweep.judging.constraints import broken_by_runs
from gansweep.judging.labels import label, settings_of
from gansweep.judging.objective import COSTS, objectives_of
from gansweep.judging.protocols import Refusal, refusals
from gansweep.judging.ranking import by_mean, ranked
from gansweep.judging.statistics import Summary, summarize
from gansweep.judging.statuses import FAILED
from gansweep.judging.trials import trials_of
from gansweep.metrics.protocol import scores_called
from gansweep.records.notation import listing, plural
from gansweep.records.read import Run

# The order of the columns. The first of these ranks where equally many runs measured each.
PREFERENCE = (
    *("fid", "fid_infinity", "kid", "modes", "high_quality", "reverse_kl", "is"),
    *("precision", "recall", "density", "coverage", "memorisation"),
)


def is_confirmation(run: Run) -> bool:
    return run.sweep is not None and run.sweep.role == "confirm"


@dataclass
class Row:
    """One configuration. Its numbers are over `complete`: finished runs, one for each seed.

    key: unique.   stage: "confirmed" (fresh seeds after a sweep), "run" (no sweep) or "trial" (the
        sweep chose among these, so the value is optimistic).
    settled: False for a trial that cannot win, though some run of it ended well.
    breaks: the constraints of its sweep that a confirmed configuration breaks under fresh seeds.
    unscored: how many of `complete` ended with a ranking score that is not finite.
    settings: those in which it differs from other rows of its model; detail: the same in words.
    label: the model with the detail.   name: the label, or the trial's name if the label is long.
    """

    key: str
    model: str
    settings: dict[str, Any]
    stage: str
    runs: list[Run]
    complete: list[Run]
    best: dict[str, Summary]
    last: dict[str, Summary]
    settled: bool = True
    breaks: tuple[str, ...] = ()
    unscored: int = 0
    label: str = ""
    detail: str = ""
    name: str = ""
    rank: int | None = None

    @property
    def seeds(self) -> int:
        return len(self.complete) - self.unscored

    @property
    def trial(self) -> str:
        """The name of the trial, or of the population's member; "" where there is none."""
        tried = [(run, run.sweep) for run in self.runs if run.sweep and not is_confirmation(run)]
        names = [run.directory.name if part.schedule else part.key for run, part in tried]
        return names[0] if names else ""

    @property
    def shown(self) -> list[Run]:
        """The runs that figures show: the complete ones, else all."""
        return self.complete or self.runs

    @property
    def lost(self) -> int:
        """How many runs of the row's stage failed, or ended without a score. One that failed by a
        bug or for want of memory is not lost where its seed was run again and is complete."""
        counted = [r for r in self.runs if self.stage != "confirmed" or is_confirmation(r)]
        again = {run.seed for run in self.complete} - {None}
        failed = [r for r in counted if r.status in FAILED]
        lost = [r for r in failed if r.status != "failed" or r.seed not in again]
        return len(lost) + self.unscored

    @property
    def flaw(self) -> str:
        """Why the row comes after all others: "lost 1 seed" if its numbers leave out failed seeds,
        "breaks seconds <= 60 (81.2)"; "" without a flaw."""
        lost = [f"lost {plural(self.lost, 'seed')}"] if self.lost else []
        breaks = [f"breaks {listing(self.breaks, 'and')}"] if self.breaks else []
        return " and ".join([*lost, *breaks])

    @property
    def excluded(self) -> bool:
        """Whether it is a trial that cannot win: it lacks seeds or breaks a constraint."""
        return self.stage == "trial" and not self.settled

    def scores(self, at: str) -> dict[str, Summary]:
        return self.last if at == "last" else self.best

    def by_seed(self, score: str, at: str) -> dict[Any, float]:
        """Seed -> the score of the complete run with that seed, if it has one. The directory stands
        for the seed where a record has none."""
        found = {
            run.directory if run.seed is None else run.seed: run.value(score, at)
            for run in self.complete
        }
        return {seed: value for seed, value in found.items() if value is not None}

    @property
    def statuses(self) -> dict[str, int]:
        return dict(Counter(run.status for run in self.runs))

    def mean_of(self, key: str) -> float | None:
        """The mean over complete runs of a number of the result ("seconds", "kimg", ...)."""
        known = [n for run in self.complete if (n := run.number(key)) is not None]
        return fmean(known) if known else None


@dataclass
class Board:
    """The leaderboard: rows, the scores that may be compared and those that may not.

    metric: ranks confirmed configurations and plain runs.   trial_metric: ranks a sweep's trials;
        another score if the winners were confirmed with a larger sample.
    at: whether a run counts with its "last" value or with its "best".
    rows: the ranked ones first.   open_rows: configurations without a finished run.
    early: runs without a result, and those that a stop rule ended.
    names: the short name of each setting.
    """

    metric: str | None
    trial_metric: str | None
    at: str
    names: dict[str, str]
    rows: list[Row]
    open_rows: list[Row]
    scores: list[str]
    refused: list[Refusal]
    early: list[Run]
    runs: list[Run]

    @property
    def ranked(self) -> list[Row]:
        return [row for row in self.rows if row.rank is not None]

    def ranks(self, stage: str) -> str | None:
        """The score by which the rows of a stage are ranked."""
        return self.trial_metric if stage == "trial" else self.metric

    def judged(self, row: Row) -> Summary | None:
        """What a row is ranked by."""
        return row.scores(self.at).get(self.ranks(row.stage) or "")

    def direction_of(self, score: str | None) -> str | None:
        """ "minimize" or "maximize"; None for a score without a direction."""
        return next((d for run in self.runs if (d := run.direction(score or ""))), None)


def leaderboard(runs: Sequence[Run], metric: str | None = None) -> Board:
    """Rank the configurations of `runs` by the mean of `metric` over their seeds.

    metric: a score's full name, or its word ("fid"); by default the sweep's objective, else the
        score that most runs have. A run counts with its last value, unless every sweep among the
        runs reads its objective at="best": the best of many noisy values flatters.
    Raises: UserError if no run has `metric`, or if it was measured under several protocols.
    """
    _add_costs(runs)
    refused = refusals(runs)
    mixed = {refusal.score for refusal in refused}
    scores = _in_order(runs, {s for run in runs for s in run.scores()} - mixed)
    ranking: str | None
    trial_metric: str | None
    if metric is not None:
        ranking = trial_metric = _asked_metric(runs, metric, scores, refused)
    else:
        # the score of the confirmations first: it may differ from that of the trials
        by_stage = sorted(runs, key=lambda run: not (is_confirmation(run) and run.complete))
        ranking = _default_metric(by_stage, scores)
        trials = [run for run in runs if run.sweep and not is_confirmation(run)]
        trial_metric = _default_metric(trials, scores) or ranking
    configurations = _rows(runs, scores)
    names = label(configurations)
    moments = {objectives_of(run.sweep)[0].at for run in runs if run.sweep}
    at = "best" if moments == {"best"} else "last"
    rows = [row for row in configurations if row.complete]
    board = Board(
        metric=ranking,
        trial_metric=trial_metric,
        at=at,
        names=names,
        rows=rows,
        open_rows=[row for row in configurations if not row.complete],
        scores=sorted(scores, key=lambda score: (score != ranking, score != trial_metric)),
        refused=refused,
        early=[run for run in runs if not run.complete or run.stopped_by],
        runs=list(runs),
    )
    if at == "last":
        for row in rows:
            row.unscored = sum(run.lost(board.ranks(row.stage) or "") for run in row.complete)
    _rank(board)
    return board


def _add_costs(runs: Sequence[Run]) -> None:
    """Make the cost that a run's sweep optimises first ("seconds") a column of the run, by which it
    can be ranked."""
    for run in runs:
        first = objectives_of(run.sweep)[0] if run.sweep else None
        if first is None or first.metric not in COSTS:
            continue
        value = run.number(first.metric)
        if value is not None:
            run.evaluated[first.metric] = {"value": value, "kimg": run.kimg}
            run.protocols[first.metric] = {"score": first.metric, "direction": first.direction}


def _asked_metric(runs: Sequence[Run], word: str, scores: list[str], refused: list[Refusal]) -> str:
    for refusal in refused:
        if refusal.score == word:
            raise refusal.error(scores)
    called = scores_called(_protocols(runs), word)
    found = [word] if word in scores else [score for score in scores if score in called]
    if len(found) == 1:
        return found[0]
    if found:
        what = f"'{word}' stands for {len(found)} scores: {', '.join(found)}."
    else:
        known = ", ".join(scores) or "none"
        short = [str(p["score"]) for p in _protocols(runs).values() if "score" in p]
        hint = nearest(word, [*short, *scores])
        what = f"No run has a score '{word}'.{hint} Scores of these runs: {known}."
    raise UserError(f"{what} Choose one with --metric.")


def _in_order(runs: Sequence[Run], scores: Collection[str]) -> list[str]:
    """Scores of the training before those of `gansweep evaluate`, each in order of preference."""
    protocols = _protocols(runs)

    def place(score: str) -> tuple[bool, int, str]:
        protocol = protocols.get(score, {})
        word = protocol.get("score")
        rank = PREFERENCE.index(word) if word in PREFERENCE else len(PREFERENCE)
        return ("checkpoint" in protocol, rank, score)

    return sorted(scores, key=place)


def _protocols(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    return {score: protocol for run in runs for score, protocol in run.protocols.items()}


def _default_metric(runs: Sequence[Run], scores: list[str]) -> str | None:
    ranking = [s for s in scores if any(run.direction(s) for run in runs)]
    for run in runs:
        name = objectives_of(run.sweep)[0].column(run, runs) if run.sweep else None
        if name in ranking:
            return name
    finished = [run for run in runs if run.complete] or list(runs)
    # max keeps the first of equals, and the scores come in order of preference
    return max(ranking, key=lambda s: sum(s in run.scores() for run in finished), default=None)


def _rows(runs: Sequence[Run], scores: list[str]) -> list[Row]:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_configuration(run), []).append(run)
    settled = {run.directory: t.complete for t in trials_of(runs) for run in t.runs}
    return [
        _row(key, members, scores, any(settled.get(run.directory, True) for run in members))
        for key, members in groups.items()
    ]


def _configuration(run: Run) -> str:
    """Equal for two runs that differ in their seed alone."""
    if run.sweep:
        parts: list[Any] = [str(run.directory.parent), run.sweep.name, run.sweep.params]
    else:
        parts = [settings_of(run)]
    return json.dumps([run.model, run.data, *parts], sort_keys=True, default=str)


def _row(key: str, members: list[Run], scores: list[str], settled: bool) -> Row:
    confirmed = [run for run in members if is_confirmation(run)]
    stage = "trial" if members[0].sweep else "run"
    if any(run.complete for run in confirmed):
        stage = "confirmed"
    # The trial for which the sweep chose this configuration is not counted: its value flatters.
    counted = confirmed if stage == "confirmed" else members
    by_seed: dict[Any, Run] = {}
    for run in sorted(counted, key=lambda run: str(run.result.get("ended", ""))):
        if run.complete:
            by_seed[run.seed if run.seed is not None else run.directory] = run
    complete = sorted(by_seed.values(), key=lambda run: str(run.seed))
    best, last = (
        {
            score: summary
            for score in scores
            if (summary := summarize([v.value for run in complete if (v := read(run, score))]))
        }
        for read in (Run.best, Run.last)
    )
    settings = dict(members[0].sweep.params) if members[0].sweep else settings_of(members[0])
    row = Row(key, members[0].model, settings, stage, members, complete, best, last, settled)
    if stage == "confirmed":
        row.breaks = tuple(broken_by_runs(complete))
    return row


def _rank(board: Board) -> None:
    """Confirmed rows and plain runs first, then trials, each by the mean; ties share a rank.

    A row with a flaw comes after those without one. A trial that lacks seeds or breaks a constraint
    comes last and has no rank.
    """
    # trials of one sweep and confirmed rows of another may rank in opposite directions
    stages = {row.stage for row in board.rows}
    directions = {stage: board.direction_of(board.ranks(stage)) for stage in stages}

    def place(row: Row) -> tuple[Any, ...]:
        summary = board.judged(row)
        mean = summary.mean if summary else 0.0
        behind = row.excluded or row.flaw != ""
        first = (summary is None, row.excluded, row.stage == "trial")
        return (*first, *by_mean(mean, directions[row.stage], behind))

    found = ranked(sorted(board.rows, key=lambda row: row.label), place)
    board.rows = [row for _, row in found]
    for rank, row in found:
        if board.judged(row) is not None and not row.excluded:
            row.rank = rank


def leader(board: Board, score: str) -> Row | None:
    """The best row of the first stage by this score, without rows with a flaw unless all have one.

    None where the score has no direction, or where several rows are the best.
    """
    direction = board.direction_of(score)
    having = [row for row in board.rows if score in row.scores(board.at) and not row.excluded]
    fair = [row for row in having if row.stage != "trial"] or having
    if direction is None or len(fair) < 2:
        return None
    fair = [row for row in fair if not row.flaw] or fair
    means = [row.scores(board.at)[score].mean for row in fair]
    best = (max if direction == "maximize" else min)(means)
    return fair[means.index(best)] if means.count(best) == 1 else None
