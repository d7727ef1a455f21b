"""A running trial reports its scores to the study and never waits long for the storage."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import Trial

    from gansweep.judging.objective import Objective
    from gansweep.records.record import RunRecord
    from gansweep.search.settings import Settings

# the longest wait of a child in an outage; it gets the answer with its next score
ANSWER_SECONDS = 2.0

Score = tuple[float, float]


def report_score(
    settings: Settings, trial: Trial, reported: set[int], kimg: float, value: float
) -> bool:
    """Report a score of a running trial; whether the pruner wants the trial stopped.

    reported: the steps that the study knows already; this one is added.
    Raises: optuna.exceptions.UpdateFinishedTrialError if another process took the attempt.
    """
    unpromising = report_value(settings, trial, reported, settings.step(kimg), value)
    return unpromising and kimg < settings.budget_kimg  # a spent budget ends the trial anyway


def report_value(
    settings: Settings, trial: Trial, reported: set[int], step: int, value: float
) -> bool:
    """As `report_score`, of a step: of a curve, or the position of a seed."""
    if len(settings.objectives) > 1 or step in reported or value != value:
        return False
    reported.add(step)
    trial.report(value, step)
    return settings.pruner["name"] != "none" and trial.should_prune()


def report_rows(settings: Settings, record: RunRecord, trial: Trial, reported: set[int]) -> bool:
    """Report the scores that a run's record has already; as `report_score`, of the last of them."""
    unpromising = False
    for kimg, value in scores_in(record, settings.objectives[0]):
        if settings.step(kimg) not in reported:
            unpromising = report_score(settings, trial, reported, kimg, value)
    return unpromising


def scores_in(record: RunRecord, objective: Objective) -> Iterator[tuple[float, float]]:
    """(kimg, value of the objective) of each evaluation in a run's history."""
    history = record.history()
    protocols, judged_by = protocols_in(history), (record.result() or {}).get("objective")
    for row in history:
        name = objective.find(row, protocols, judged_by)
        if name is not None and isinstance(row[name], (int, float)) and "kimg" in row:
            yield row["kimg"], float(row[name])


def protocols_in(history: list[dict[str, Any]]) -> dict[str, Any]:
    """score's full name -> protocol, from the rows of a run's history."""
    return {k: v for row in history for k, v in (row.get("protocol") or {}).items()}


class Reporter:
    """Delivers the scores of one run to the study, in their order, in a thread of its own.

    report: reports (kimg, value) to the study; True where the pruner wants the run stopped.
    """

    def __init__(self, report: Callable[[float, float], bool]) -> None:
        self._report = report
        self._scores: queue.SimpleQueue[Score | None] = queue.SimpleQueue()
        self._news = threading.Condition()
        self._asked = self._delivered = 0
        self._wants_stop = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._deliver, daemon=True)

    def ask(self, kimg: float, value: float) -> bool:
        """Hand over a score; whether the run is to stop, by this score or by an earlier one.

        Raises: what `report` raised, now or for an earlier score.
        """
        if not self._asked:
            self._thread.start()
        with self._news:
            seconds = ANSWER_SECONDS if self._delivered == self._asked else 0.0
            self._asked += 1
            self._scores.put((kimg, value))
            self._news.wait_for(
                lambda: self._delivered == self._asked or self._error is not None, seconds
            )
            return self._verdict()

    def join(self) -> bool:
        """Wait until every score is delivered; answers and raises as `ask` does."""
        if self._asked:
            self._scores.put(None)
            self._thread.join()
        return self._verdict()

    def _verdict(self) -> bool:
        if self._error is not None:
            raise self._error
        return self._wants_stop

    def _deliver(self) -> None:
        while self._error is None and (score := self._scores.get()) is not None:
            error, wants_stop = None, False
            try:
                wants_stop = self._report(*score)
            except Exception as raised:
                error = raised
            with self._news:
                self._delivered += 1
                self._wants_stop |= wants_stop
                self._error = error
                self._news.notify()
