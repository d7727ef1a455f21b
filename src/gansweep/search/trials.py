"""The trials of a study, each once: what samplers, pruners and readers see of it.

A trial that continues after an interruption is a new Optuna trial with the same key, an attempt.
The attempt before has ended, so its id refuses a late writer on every storage. Only this file and
the engine, which begins and ends attempts, know of them.
"""

import copy
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any, cast

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

SECONDS_BEFORE = "seconds_before"  # that were spent on a trial in the attempts before its last
RUNG = "completed_rung_"  # how the attributes begin in which successive halving keeps its scores
CMA_STATE = "cma:"  # how those begin in which CMA-ES keeps its state
CMA_GENERATION = "cma:generation"  # of them the one that is written last
# the trials in the order of their numbers -> those that are to be seen, and how
Shown = Callable[[list[FrozenTrial]], Sequence[FrozenTrial]]


def trials_of(study: Study) -> list[FrozenTrial]:
    """The trials of a study in the order in which they were begun, each once."""
    return each_once(study.get_trials(deepcopy=False))


def each_once(attempts: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The trials of these attempts: the last attempt of each, with the scores, the seconds and the
    notes of samplers and pruners from the attempts before it."""
    found: dict[str, list[FrozenTrial]] = {}
    for attempt in attempts:
        found.setdefault(attempt.user_attrs["key"], []).append(attempt)
    return [one[0] if len(one) == 1 else _as_one(one) for one in found.values()]


def is_begun(trial: FrozenTrial) -> bool:
    """Whether there was an attempt at a trial that waits."""
    return bool(trial.user_attrs["attempt"] > 1)


class StudyView:
    """What a sampler or a pruner gets in place of a study: its trials, each once. All else, such as
    the storage and the directions, is the study's own."""

    def __init__(self, study: Study, shown: Shown) -> None:
        self._study, self._shown = study, shown

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return self._get_trials(deepcopy, states)

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        # which attempt is the last is known from all of them: the states are chosen afterwards
        trials = each_once(self._study._get_trials(deepcopy, None, use_cache))
        trials.sort(key=lambda trial: trial.number)
        return [t for t in self._shown(trials) if states is None or t.state in states]

    def as_study(self) -> Study:
        """Itself, by the type that Optuna's signatures name."""
        return cast(Study, self)


def _as_one(attempts: Sequence[FrozenTrial]) -> FrozenTrial:
    first, *_, last = attempts
    trial = copy.copy(last)  # the original is the storage's
    trial.intermediate_values = {
        step: value for attempt in attempts for step, value in attempt.intermediate_values.items()
    }
    trial.user_attrs = {**last.user_attrs, SECONDS_BEFORE: sum(map(_seconds, attempts[:-1]))}
    if "source" in first.user_attrs:  # later attempts may have more parameters fixed
        fixed = first.system_attrs.get("fixed_params")
        trial.user_attrs["enqueued"] = first.user_attrs.get("enqueued", fixed)
    trial.system_attrs = {**_rungs(attempts), **last.system_attrs, **_cma_state(attempts)}
    return trial


def _seconds(attempt: FrozenTrial) -> float:
    begin, end = attempt.datetime_start, attempt.datetime_complete
    return (end - begin).total_seconds() if begin and end else 0.0


def _rungs(attempts: Sequence[FrozenTrial]) -> dict[str, Any]:
    notes = [note for attempt in attempts for note in attempt.system_attrs.items()]
    return {name: value for name, value in notes if name.startswith(RUNG)}


def _cma_state(attempts: Sequence[FrozenTrial]) -> dict[str, Any]:
    """The state of the last attempt that has all of it: later ones drew nothing."""
    whole = (a.system_attrs for a in reversed(attempts) if CMA_GENERATION in a.system_attrs)
    return {k: v for k, v in next(whole, {}).items() if k.startswith(CMA_STATE)}
