"""How a trial of a sweep ended, by the records of its runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gansweep.judging.objective import Objective
from gansweep.judging.statuses import BUG, ENDED_WELL, FAILED, MISTAKE, judged_status
from gansweep.metrics.protocol import Protocol
from gansweep.records.record import RunRecord


@dataclass(frozen=True)
class Measured:
    """The value of one objective: the mean over the runs of a trial."""

    score: str  # its full name
    value: float
    protocol: Protocol


@dataclass(frozen=True)
class Outcome:
    """The end of a trial. `status` is None where some run has not ended yet."""

    status: str | None
    reason: str = ""
    measured: tuple[Measured, ...] = ()  # one for each objective, where the trial succeeded
    failure: str = ""  # one of statuses.FAILURES, where the status is "failed"
    alike: str = ""  # equal for failures of the same cause


def outcome_of(records: Sequence[RunRecord], objectives: Sequence[Objective]) -> Outcome:
    """The outcome of a trial whose runs have these records.

    One failed or pruned run decides: a mean over the others would flatter the trial. So does one
    that never learned: its score is no result, and many such runs have the same score.
    """
    results = [record.result() or {} for record in records]
    for result in results:
        status, reason = judged_status(result, objectives[0].at)
        if status == "failed":
            # a child that was killed just after the training wrote its status added no kind
            kind, alike = result.get("failure", BUG), result.get("failed_at", "")
            return Outcome(status, reason, failure=str(kind), alike=str(alike))
        if status in (*FAILED, "pruned"):
            return Outcome(status, reason)
    if not all(_has_succeeded(result) for result in results):
        return Outcome(None)
    try:
        measured = tuple(_measured(results, objective) for objective in objectives)
    except ValueError as error:
        return Outcome("failed", str(error), failure=MISTAKE, alike=str(error))
    last = results[-1]
    return Outcome(str(last["status"]), str(last.get("reason", "")), measured)


def _has_succeeded(result: dict[str, Any]) -> bool:
    """A paused run of a trial has ended a generation of a population; a paused confirmation is not
    over."""
    if result.get("status") == "paused":
        return bool((result.get("sweep") or {}).get("role") == "trial")
    return result.get("status") in ENDED_WELL


def _measured(results: Sequence[dict[str, Any]], objective: Objective) -> Measured:
    """Raises: ValueError where the objective cannot be read from every run."""
    found = [objective.read(result) for result in results]
    values = [value for _, value in filter(None, found)]
    if len(values) < len(found) or found[0] is None:
        raise ValueError(f"no value of the objective '{objective.metric}'")
    score = found[0][0]
    protocol: Protocol = (results[0].get("protocols") or {}).get(score, {})
    wanted = protocol.get("direction", objective.direction)
    if objective.metric == "auto" and wanted != objective.direction:
        raise ValueError(
            f"{score} is to be {wanted}d, and this sweep {objective.direction}s. "
            f"Start a new sweep with sweep.objective.metric={protocol['score']}"
        )
    return Measured(score, statistics.fmean(values), protocol)
