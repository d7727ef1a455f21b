"""The leaderboard: a sweep's winners by their runs under fresh seeds, and what has no row."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from gansweep.metrics.protocol import REPEATABLE, Protocol, comparable
from gansweep.record import RunRecord, replace_atomically
from gansweep.sweep.confirm import Confirmation, group_of, params_of
from gansweep.sweep.domains import override_text
from gansweep.sweep.outcome import SUCCEEDED
from gansweep.sweep.study import SweepStudy, latest


def write_leaderboard(study: SweepStudy) -> Path | None:
    """leaderboard.json: the winners by the mean over their fresh seeds; None without winners.

    Configurations of which every seed ran to its end come first: a mean over the survivors alone
    would reward those that often fail. "left_out" says what has no row, and why.
    """
    objective, rows = study.objective, []
    runs = study.confirmations()
    for key in dict.fromkeys(run.key for run in runs):
        row = _row(study, [run for run in runs if run.key == key])
        if row is not None:
            rows.append(row)
    if not rows:
        return None
    rows.sort(key=lambda row: (row["n_failed"] > 0, objective.sort_key(row["mean"])))
    content = {
        "sweep": study.settings.name,
        "objective": {"metric": objective.metric, "direction": objective.direction},
        "read_at": objective.at,
        "rows": [{"rank": rank, **row} for rank, row in enumerate(rows, start=1)],
        "left_out": _left_out(study, {row["trial"] for row in rows}, {run.key for run in runs}),
    }
    path = study.directory / "leaderboard.json"
    replace_atomically(path, (json.dumps(content, indent=2) + "\n").encode())
    return path


def _row(study: SweepStudy, runs: Sequence[Confirmation]) -> dict[str, Any] | None:
    values: list[float] = []
    used: list[str] = []
    name, protocol, model = "", {}, ""
    reference: Protocol | None = None
    for run in runs:
        result = RunRecord(study.directory / run.name).result() or {}
        score = study.objective.read(result) if result.get("status") in SUCCEEDED else None
        if score is None:
            continue
        measured: Protocol = (result.get("protocols") or {}).get(score[0], {})
        if reference is not None and not comparable(reference, measured):
            continue
        reference = measured
        values.append(score[1])
        used.append(run.name)
        name, protocol = score[0], measured
        model = result.get("model", run.params.get("model", ""))
    if not values:
        return None
    return {
        "model": model,
        "trial": runs[0].key,
        "params": runs[0].params,
        "score": name,
        "protocol": {k: v for k, v in protocol.items() if k not in REPEATABLE},
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else None,  # of the sample, n - 1
        "n_seeds": len(values),
        "n_failed": len(runs) - len(values),
        "values": values,
        "runs": used,
        "selection_value": runs[0].selection_value,
    }


def _left_out(study: SweepStudy, ranked: set[str], confirmed: set[str]) -> dict[str, str]:
    """What has no row -> why: values of the key that `confirm.per` names, else winners.

    ranked, confirmed: the trials with a row, and those that were run again.
    """
    per, top = str(study.settings.confirm["per"]), study.settings.confirm["top"]
    if per == "config":
        return {key: _not_confirmed(study, key) for key in sorted(confirmed - ranked)}
    trials = [t for t in latest(study.trials) if params_of(t, study.space) is not None]
    groups: dict[str, list[FrozenTrial]] = {
        value: [] for value in study.space.values(per) if isinstance(value, str)
    }
    for trial in trials:
        group = group_of(trial, study.space, per)
        groups.setdefault(_shown(group), []).append(trial)
    reasons = {}
    for group, members in groups.items():
        keys = {t.user_attrs["key"] for t in members}
        if not members:
            reasons[group] = "no trial took this value"
        elif not any(t.state == TrialState.COMPLETE for t in members):
            reasons[group] = f"none of its trials ran to its end: {_tally(members)}"
        elif not keys & confirmed:
            reasons[group] = f"its best trial is not among the {top} that were confirmed"
        elif not keys & ranked:
            reasons[group] = _not_confirmed(study, *(keys & confirmed))
    return reasons


def _not_confirmed(study: SweepStudy, key: str) -> str:
    runs = [t for t in latest(study.confirms) if t.user_attrs["of"] == key]
    return f"no run with a fresh seed of {key} ended with a score: {_tally(runs)}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else override_text(value)


def _tally(trials: Sequence[FrozenTrial]) -> str:
    statuses = Counter(str(t.user_attrs.get("status")) for t in trials)
    return ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
