"""leaderboard.json: the winners of a sweep by their confirmation runs, and what is left out."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from gansweep.engine.confirm import Confirmation, group_of
from gansweep.engine.study import SweepStudy
from gansweep.judging.constraints import broken, broken_by
from gansweep.judging.objective import Objective
from gansweep.judging.outcome import Measured
from gansweep.judging.ranking import by_mean, pareto_front, ranked
from gansweep.judging.statistics import summarize
from gansweep.judging.statuses import ENDED_WELL, judged_status
from gansweep.metrics.protocol import REPEATABLE, Protocol, comparable
from gansweep.records.record import RunRecord, replace_atomically
from gansweep.search.domains import override_text
from gansweep.search.settings import Settings
from gansweep.search.trials import trials_of

BEATEN = "confirmed, but another one is as good in every objective and better in one"


@dataclass(frozen=True)
class Fresh:
    """A confirmation run that ended well, with its value of each objective."""

    run: Confirmation
    result: Mapping[str, Any]
    model: str
    measured: tuple[Measured, ...]


def write_leaderboard(study: SweepStudy) -> Path | None:
    """Write leaderboard.json: the winners by the mean over their fresh seeds. None without winners.

    A configuration that lost a seed, or that breaks a constraint under fresh seeds, comes after all
    others. With several objectives the rows are the Pareto front of the means, the best in the
    first objective first. "left_out" has the reason of everything without a row.
    """
    first, runs = study.objective, study.confirmations()
    fresh = _comparable(list(filter(None, (_fresh(study, run) for run in runs))))
    rows = []
    for key in dict.fromkeys(one.run.key for one in fresh):
        planned = sum(run.key == key for run in runs)
        members = [one for one in fresh if one.run.key == key]
        rows.append(_row(members, planned, study.settings))
    if not rows:
        return None

    def place(row: Mapping[str, Any]) -> tuple[bool, float]:
        return by_mean(row["mean"], first.direction, _is_flawed(row))

    best = _front(rows, study.settings.objectives)
    with_row = {row["trial"] for row in best}
    beaten = {row["trial"] for row in rows} - with_row
    content = {
        "sweep": study.settings.name,
        "n_trials": study.settings.n_trials,
        "objective": {"metric": first.metric, "direction": first.direction},
        "read_at": first.at,
        "rows": [{"rank": rank, **row} for rank, row in ranked(best, place)],
        "left_out": _left_out(study, with_row, beaten, {run.key for run in runs}),
    }
    path = study.directory / "leaderboard.json"
    replace_atomically(path, (json.dumps(content, indent=2) + "\n").encode())
    return path


def _fresh(study: SweepStudy, run: Confirmation) -> Fresh | None:
    """None if the run has not ended well, never learned or lacks a value of an objective."""
    result = RunRecord(study.directory / run.name).result() or {}
    found = [_measured(study, index, result) for index in range(len(study.settings.objectives))]
    known = tuple(one for one in found if one is not None)
    status, _ = judged_status(result, study.objective.at)
    if status not in ENDED_WELL or len(known) < len(found):
        return None
    return Fresh(run, result, str(result.get("model", run.params.get("model", ""))), known)


def _measured(study: SweepStudy, index: int, result: Mapping[str, Any]) -> Measured | None:
    """An objective of a confirmation run. Its sample may be larger than that of the trials: then
    the score has another full name."""
    objective = study.settings.objectives[index]
    tried: Mapping[str, Protocol] = study.trials.user_attrs.get("protocols") or {}
    word = str(tried.get(str(index), {}).get("score", objective.metric))
    score = objective.read(result, word)
    if score is None:
        return None
    return Measured(*score, (result.get("protocols") or {}).get(score[0], {}))


def _comparable(fresh: Sequence[Fresh]) -> list[Fresh]:
    """Those that are comparable with the first in every objective."""

    def is_comparable(one: Fresh) -> bool:
        pairs = zip(fresh[0].measured, one.measured, strict=True)
        return all(comparable(a.protocol, b.protocol) for a, b in pairs)

    return list(filter(is_comparable, fresh))


def _row(fresh: Sequence[Fresh], planned: int, settings: Settings) -> dict[str, Any]:
    """One configuration over its fresh seeds.   planned: how many were run."""
    first, run = fresh[0].measured[0], fresh[0].run
    values = [_values(measured) for measured in zip(*(one.measured for one in fresh), strict=True)]
    breaks = broken_by(settings.limits, [one.result for one in fresh])
    row = {
        "model": fresh[-1].model,
        "trial": run.key,
        "params": run.params,
        "score": first.score,
        "protocol": {k: v for k, v in first.protocol.items() if k not in REPEATABLE},
        **{key: values[0][key] for key in ("mean", "std", "interval")},
        "n_seeds": len(fresh),
        "n_failed": planned - len(fresh),
        "values": values[0]["values"],
        "runs": [one.run.name for one in fresh],
        "selection_value": run.selection_value,
    }
    several = {"objectives": values} if len(values) > 1 else {}
    return row | several | ({"breaks": f"breaks {', '.join(breaks)}"} if breaks else {})


def _is_flawed(row: Mapping[str, Any]) -> bool:
    return row["n_failed"] > 0 or "breaks" in row


def _values(measured: Sequence[Measured]) -> dict[str, Any]:
    """std: of the sample (n - 1); interval: of the mean, 95 % confidence (Student's t). Both are
    None for a single seed."""
    summary = summarize([one.value for one in measured])
    assert summary is not None, "a row has a run"
    spread = {"mean": summary.mean, "std": summary.std, "interval": summary.interval}
    return {"metric": measured[0].score, **spread, "values": list(summary.values)}


def _front(rows: list[dict[str, Any]], objectives: Sequence[Objective]) -> list[dict[str, Any]]:
    """The rows that no other one dominates; with one objective all of them."""
    if len(objectives) == 1:
        return rows
    points = [[one["mean"] for one in row["objectives"]] for row in rows]
    front = pareto_front(points, [o.direction for o in objectives], list(map(_is_flawed, rows)))
    return [rows[place] for place in front]


def _left_out(
    study: SweepStudy, with_row: set[str], beaten: set[str], confirmed: set[str]
) -> dict[str, str]:
    """What has no row -> why: values of the key that `confirm.per` names, else trials.

    with_row, beaten, confirmed: the trials with a row, those that another one dominates, and those
    with confirmation runs.
    """
    per, top = str(study.settings.confirm["per"]), study.settings.confirm["top"]
    trials = trials_of(study.trials)
    if per == "config":
        breaks = {t.user_attrs["key"]: broken(t) for t in trials if broken(t)}
        lost = sorted(confirmed - with_row)
        return {k: BEATEN if k in beaten else _not_confirmed(study, k) for k in lost} | breaks
    groups: dict[str, list[FrozenTrial]] = {
        value: [] for value in study.space.values(per) if isinstance(value, str)
    }
    for trial in trials:
        if study.space.values_at(trial.params) is not None:
            group = group_of(trial, study.space, per)
            name = group if isinstance(group, str) else override_text(group)
            groups.setdefault(name, []).append(trial)
    reasons = {}
    for name, members in groups.items():
        keys = {t.user_attrs["key"] for t in members}
        ended = [t for t in members if t.state == TrialState.COMPLETE]
        if not members:
            reasons[name] = "no trial took this value"
        elif not ended:
            reasons[name] = f"none of its trials ran to its end: {_tally(members)}"
        elif all(map(broken, ended)):
            example = f"{ended[0].user_attrs['key']} {broken(ended[0])}"
            reasons[name] = f"none of its trials meets the constraints: {example}"
        elif not keys & confirmed:
            reasons[name] = f"its best trial is not among the {top} that were confirmed"
        elif not keys & with_row:
            first = min(keys & confirmed)
            reasons[name] = BEATEN if keys & beaten else _not_confirmed(study, first)
    return reasons


def _not_confirmed(study: SweepStudy, key: str) -> str:
    runs = [t for t in trials_of(study.confirms) if t.user_attrs["of"] == key]
    return f"no run with a fresh seed of {key} ended with a score: {_tally(runs)}"


def _tally(trials: Sequence[FrozenTrial]) -> str:
    statuses = Counter(str(t.user_attrs.get("status")) for t in trials)
    return ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
