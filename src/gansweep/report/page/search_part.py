"""What a board's sweeps found: trials, importance, expected best, fronts, schedules, outcomes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from gansweep.judging.expected_best import Family, expected_best, families
from gansweep.judging.labels import parameters
from gansweep.judging.leaderboard import Board, Row
from gansweep.judging.pareto import Candidate, Front, fronts
from gansweep.judging.statuses import BREAKS_CONSTRAINT, UNFINISHED
from gansweep.judging.trials import Sweep, Trial, ending, spent_by_end, sweeps_of
from gansweep.records.notation import listing, plural
from gansweep.records.read import Run
from gansweep.report.page.importance import Importance, hyperparameter_importance
from gansweep.report.page.population_part import populations

UNRANKED = ("pruned", "failed", BREAKS_CONSTRAINT, *UNFINISHED)


def search_part(board: Board, rows: Mapping[str, Row], runs: Mapping[str, Run]) -> dict[str, Any]:
    """{} where no run belongs to a sweep.   rows, runs: by the ids that the page knows them by."""
    sweeps = sweeps_of(board.runs)
    if not sweeps:
        return {}
    ids = {run.directory: key for key, run in runs.items()}
    row_of = {run.directory: key for key, row in rows.items() for run in row.runs}
    trials = [(sweep, trial) for sweep in sweeps for trial in sweep.trials]
    metric = board.trial_metric
    names = list(parameters([trial.params for _, trial in trials]))
    return {
        "metric": metric,
        "parameters": [{"id": name, "label": board.names.get(name, name)} for name in names],
        "trials": [
            {
                "row": row_of[trial.first.directory],
                "run": ids[trial.first.directory],
                "name": trial.name,
                "sweep": sweep.name,
                "model": trial.model,
                "end": ending(trial),
                "value": trial.value(metric, board.at) if metric and trial.complete else None,
                "params": {name: trial.params.get(name) for name in names},
                "kimg": trial.kimg,
                "seconds": trial.seconds,
            }
            for sweep, trial in trials
        ],
        "importance": _importance(board, [trial for _, trial in trials]),
        "budget": [_budget(board, sweep) for sweep in sweeps if _is_independent(sweep)],
        "fronts": [
            {"sweep": sweep.name, "trials": _front(a, row_of), "confirmed": _front(b, row_of)}
            for sweep, a, b in fronts(board)
        ],
        "populations": populations(board, sweeps, ids, row_of),
        "timeline": [_timeline(sweep, ids) for sweep in sweeps],
        "outcomes": [_outcomes(sweep) for sweep in sweeps if sweep.trials],
    }


def _is_independent(sweep: Sweep) -> bool:
    """The members of a population copy each other's weights, so they are no independent trials."""
    return bool(sweep.trials) and not sweep.scheduled


def _importance(board: Board, trials: Sequence[Trial]) -> dict[str, Any] | None:
    if board.trial_metric is None or not trials:
        return None
    direction = board.direction_of(board.trial_metric)
    found = hyperparameter_importance(board.runs, board.trial_metric, direction, board.at)
    return {
        "shares": [[board.names.get(name, name), share] for name, share in found.shares.items()],
        "explained": found.explained,
        "trials": found.n_trials,
        "reason": found.reason,
        "note": remarks(board, trials, found),
    }


def remarks(board: Board, trials: Sequence[Trial], importance: Importance) -> str:
    """Notes: the trials that the importance ignores, and the parameters that the model decides."""
    out = [trial for trial in trials if trial.status in UNRANKED]
    notes = []
    if out:
        count = plural(len(out), "trial")
        notes.append(f"{count} without an outcome (pruned, failed, unfinished) left out.")
    fixed = [board.names[name] for name in importance.with_model]
    if fixed:
        decided = "is decided" if len(fixed) == 1 else "are decided"
        notes.append(f"{listing(fixed, 'and')} {decided} by the model and counted as the model.")
    return " ".join(notes)


def _budget(board: Board, sweep: Sweep) -> dict[str, Any]:
    """The expected best of each model, and why a model has none."""
    if board.trial_metric is None:
        return {"sweep": sweep.name, "families": [], "missing": {}}
    direction = board.direction_of(board.trial_metric)
    found, missing = families(sweep.trials, board.trial_metric, direction, board.at)
    return {
        "sweep": sweep.name,
        "families": [_family(family, direction) for family in found],
        "missing": missing,
    }


def _family(family: Family, direction: str | None) -> dict[str, Any]:
    """spent, so_far: kimg of each trial and the best until then, in the order tried."""
    curve = expected_best(family.values, direction)
    return {
        "model": family.model,
        "lost": family.lost,
        "kimg": family.kimg,
        "seconds": family.seconds,
        "mean": curve.mean,
        "low": curve.low,
        "high": curve.high,
        "spent": family.spent,
        "so_far": family.so_far(direction),
    }


def _front(front: Front | None, row_of: Mapping[Any, str]) -> dict[str, Any] | None:
    if front is None:
        return None
    return {
        "columns": list(front.columns),
        "directions": front.directions,
        "points": [_candidate(one, row_of) for one in front.candidates],
    }


def _candidate(one: Candidate, row_of: Mapping[Any, str]) -> dict[str, Any]:
    """reach: half the 95 % interval of each mean; None for a single seed."""
    return {
        "row": row_of[one.row.runs[0].directory],
        "run": one.run,
        "seeds": one.seeds,
        "point": list(one.point),
        "reach": [v.interval[1] - v.mean if v.interval else None for v in one.values],
        "on_front": one.on_front,
    }


def _timeline(sweep: Sweep, ids: Mapping[Any, str]) -> dict[str, Any]:
    """When each run trained, in seconds from the sweep's first; [] where records have no times.

    worker: "" where the record names none.
    """
    runs = [*(run for trial in sweep.trials for run in trial.runs), *sweep.confirmations]
    times = [(run, _clock(run, "started"), _clock(run, "ended")) for run in runs]
    known = [(run, a, b) for run, a, b in times if a is not None and b is not None and b >= a]
    first = min((start for _, start, _ in known), default=0.0)
    spans = [
        {
            "run": ids[run.directory],
            "name": run.directory.name,
            "worker": run.sweep.worker if run.sweep else "",
            "start": start - first,
            "end": end - first,
        }
        for run, start, end in sorted(known, key=lambda one: one[1])
    ]
    return {"sweep": sweep.name, "spans": spans, "unknown": len(runs) - len(known)}


def _clock(run: Run, key: str) -> float | None:
    """Seconds since 1970."""
    try:
        seconds = datetime.fromisoformat(str(run.result.get(key))).timestamp()
    except (ValueError, OverflowError):  # no date, or one at the edge of the calendar
        return None
    return seconds if math.isfinite(seconds) else None


def _outcomes(sweep: Sweep) -> dict[str, Any]:
    """How the trials ended, with their share of the images that the sweep has seen."""
    ends = [
        {"end": s.end, "count": s.count, "kimg": s.kimg, "share": s.share, "seconds": s.seconds}
        for s in spent_by_end(sweep)
    ]
    return {"sweep": sweep.name, "trials": len(sweep.trials), "ends": ends}
