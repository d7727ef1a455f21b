"""The state of each run of a sweep, by its study and its records."""

import time
from dataclasses import dataclass, replace
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from gansweep.engine.confirm import front
from gansweep.engine.reporting import protocols_in
from gansweep.engine.study import SweepStudy
from gansweep.judging.constraints import broken
from gansweep.judging.statuses import ENDED_WELL
from gansweep.records.notation import settings_text, short_names
from gansweep.records.record import RunRecord
from gansweep.search.domains import override_text
from gansweep.search.listed import point_of
from gansweep.search.trials import is_begun, trials_of

WAITS = ("waiting", "interrupted")


@dataclass
class Row:
    """The present state of one trial or confirmation run."""

    key: str
    status: str
    worker: str
    params: str
    kimg: float
    score: str | None  # the objective's full name
    value: float | None  # its latest value
    images_per_second: float | None
    seconds: float
    reason: str
    confirms: bool
    breaks: str = ""  # which constraints, and by what


class Watch:
    """Reads the study and the run records; each file again only after it has changed."""

    def __init__(self, study: SweepStudy) -> None:
        self.study = study
        self.started = time.monotonic()
        self._histories: dict[str, tuple[int, list[dict[str, Any]]]] = {}
        self._known: dict[tuple[str, int], Row] = {}

    def rows(self) -> list[Row]:
        trials = (self.study.begun(), trials_of(self.study.confirms))
        return [self._row(t, confirms=s is trials[1]) for s in trials for t in s]

    def shown(self, rows: list[Row]) -> list[Row]:
        """One row for each trial; of a population's members, that of their latest generation."""
        if self.study.population is None:
            return rows
        members = {self.study.population.member_of(r.key): r for r in rows if not r.confirms}
        latest_units = [replace(row, key=member) for member, row in sorted(members.items())]
        return [*latest_units, *(r for r in rows if r.confirms)]

    def best(self, rows: list[Row]) -> Row | None:
        done = [r for r in rows if r.status in ENDED_WELL and not (r.confirms or r.breaks)]
        key = self.study.objective.sort_key
        known = [(key(r.value), r) for r in done if r.value is not None]
        return min(known, key=lambda pair: pair[0])[1] if known else None

    def front_size(self) -> int | None:
        """How many trials the Pareto front has so far; None if there is one objective."""
        settings = self.study.settings
        several = len(settings.objectives) > 1
        return len(front(trials_of(self.study.trials), settings)) if several else None

    def done_and_due(self, rows: list[Row]) -> tuple[int, int]:
        """Runs that have ended, and how many there will be."""
        confirm = self.study.settings.confirm
        ended = [r for r in rows if r.status not in (*WAITS, "running")]
        known = {r.key for r in rows if r.confirms}
        if sum(not r.confirms for r in ended) >= self.study.n_trials:
            confirms = len(known | {c.name for c in self.study.confirmations()})
        else:
            confirms = max(len(known), int(confirm["top"]) * int(confirm["seeds"]))
        return len(ended), self.study.n_trials + confirms

    def _row(self, trial: FrozenTrial, confirms: bool) -> Row:
        key = str(trial.user_attrs["key"])
        known = self._known.get((key, trial.number))
        if known is not None:
            return known
        records = self.study.records(key)
        histories = [self._history(record) for record in records]
        begun = [pair for pair in zip(records, histories, strict=True) if pair[1]]
        record, history = begun[-1] if begun else (records[0], [])
        judged_by = (record.result() or {}).get("objective")
        names = dict.fromkeys(name for row in history for name in row)  # in their order
        name = self.study.objective.find(names, protocols_in(history), judged_by)
        values = [row[name] for row in history if name is not None and row.get(name) is not None]
        speeds = [s for row in history if (s := row.get("throughput/images_per_second"))]
        listed = point_of(trial.user_attrs) is not None  # no search, so nothing is the best
        row = Row(
            key=key,
            status=state_of(trial),
            worker=str(trial.user_attrs.get("worker", "")),
            params=self._params(trial),
            kimg=sum(max((row.get("kimg", 0.0) for row in h), default=0.0) for h in histories),
            score=name,
            value=None
            if listed
            else trial.values[0]
            if trial.values
            else next(reversed(values), None),
            images_per_second=speeds[-1] if speeds else None,
            seconds=_seconds(trial),
            reason=str(trial.user_attrs.get("reason", "")),
            confirms=confirms,
            breaks=broken(trial),
        )
        if trial.state.is_finished():
            self._known[key, trial.number] = row
        return row

    def _params(self, trial: FrozenTrial) -> str:
        """The parameters of a trial so far, in short: "dcgan lr=0.0002"."""
        of, source = trial.user_attrs.get("of"), trial.user_attrs.get("from")
        point = point_of(trial.user_attrs)
        if point is not None:
            return settings_text(point["params"], short_names(point["params"]))
        if of is not None:
            return f"seed={trial.user_attrs['seed']} of {of}"
        found = {p.key: p for p in self.study.space.parameters if p.name in trial.params}
        names = short_names(self.study.space.keys())
        words = []
        for key, parameter in found.items():
            value = parameter.domain.decode(trial.params[parameter.name])
            text = f"{value:.3g}" if isinstance(value, float) else override_text(value)
            words.append(text if key == "model" else f"{names[key]}={text}")
        return " ".join(words if source is None else [*words, f"from {source}"])

    def _history(self, record: RunRecord) -> list[dict[str, Any]]:
        try:
            changed = record.history_path.stat().st_mtime_ns
        except FileNotFoundError:
            return []
        key = str(record.directory)
        if self._histories.get(key, (0, []))[0] != changed:
            self._histories[key] = (changed, record.history())
        return self._histories[key][1]


def state_of(trial: FrozenTrial) -> str:
    """waiting, interrupted (to be continued), running, or how it ended."""
    if trial.state == TrialState.WAITING:
        return "interrupted" if is_begun(trial) else "waiting"
    if trial.state == TrialState.RUNNING:
        return "running"
    return str(trial.user_attrs.get("status", "failed"))


def _seconds(trial: FrozenTrial) -> float:
    if trial.datetime_start is None:
        return 0.0
    end = trial.datetime_complete
    now = end.timestamp() if end is not None else time.time()
    return now - trial.datetime_start.timestamp()
