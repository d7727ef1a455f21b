"""What samplers learn of trials that diverged, failed or were pruned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sweep_studies import begin, make, record, settings

from gansweep.engine.study import SweepStudy
from gansweep.search.failed_as_worst import with_worst
from gansweep.search.samplers import make_sampler
from gansweep.search.space import Space
from gansweep.search.trials import trials_of

RATES = {
    "generator": "tag(log, interval(1e-5, 1e-1))",
    "discriminator": "tag(log, interval(1e-5, 1e-1))",
}
TOO_FAST = 2e-3


def searched(
    name: str,
    n_trials: int,
    seed: int = 0,
    best: float = 1e-3,
    lost_as: TrialState = TrialState.FAIL,
) -> tuple[list[tuple[float, ...]], float]:
    """(the rates that diverged, the best value) of a search where fast rates diverge.

    best: the rate that would be best if it held.
    """
    options = {"name": name, "seed": seed, "startup_trials": 3}
    chosen, space = settings(space=RATES, sampler=options), Space.parse(RATES)
    study, diverged, values = optuna.create_study(), [], [math.inf]
    for number in range(n_trials):
        study.sampler = make_sampler(chosen, space, number)
        study.enqueue_trial({}, user_attrs={"key": f"t{number:04d}"})
        trial = study.ask()
        rates = space.suggest(trial)
        if max(rates.values()) > TOO_FAST:
            diverged.append(tuple(rates.values()))
            trial.set_user_attr("status", "diverged")
            study.tell(trial, state=lost_as)
        else:
            values.append(sum(math.log10(rate / best) ** 2 for rate in rates.values()))
            study.tell(trial, values[-1])
    return diverged, min(values)


def test_tpe_turns_away_from_rates_that_diverge() -> None:
    at_random = [searched("random", 36, seed) for seed in range(5)]
    learned = [searched("tpe", 36, seed) for seed in range(5)]
    lost_at_random = sum(len(lost) for lost, _ in at_random)
    assert sum(len(lost) for lost, _ in learned) < lost_at_random
    assert sum(best for _, best in learned) < 0.5 * sum(best for _, best in at_random)


@pytest.mark.parametrize("lost_as", [TrialState.FAIL, TrialState.PRUNED])
def test_gaussian_process_does_not_come_back_to_where_it_lost_a_trial(lost_as: TrialState) -> None:
    lost, _ = searched("gp", 14, best=1e-2, lost_as=lost_as)
    for place, rates in enumerate(lost):
        others = lost[:place] + lost[place + 1 :]
        assert all(max(map(_decades, rates, other)) > 0.01 for other in others)


def _decades(a: float, b: float) -> float:
    return abs(math.log10(a / b))


def seen(study: SweepStudy, pruned: bool = False) -> list[Sequence[float] | None]:
    shown = with_worst(trials_of(study.trials), study.trials.directions, pruned)
    return [t.values if t.state == TrialState.COMPLETE else None for t in shown]


def end(study: SweepStudy, status: str, value: float | None = None) -> None:
    attempt = begin(study)
    record(study, attempt.key, status, value)
    study.finish(attempt, "itself")


@pytest.mark.parametrize(("direction", "worst"), [("minimize", 7.0), ("maximize", 2.0)])
def test_what_gave_up_counts_with_the_worst_value_that_any_trial_ended_with(
    tmp_path: Path, direction: str, worst: float
) -> None:
    objective = {"metric": "fid_x", "direction": direction, "at": "last"}
    study = make(tmp_path / "s", n_trials=9, objective=objective)
    end(study, "diverged")
    assert seen(study) == [None], "nothing has ended yet that it could be compared with"
    for value in (2.0, 7.0):
        end(study, "finished", value)
    assert seen(study) == [[worst], [2.0], [7.0]]
    end(study, "pruned")
    begin(study)  # still running
    assert seen(study, pruned=True) == [[worst], [2.0], [7.0], [worst], None]
    assert trials_of(study.trials)[0].state == TrialState.FAIL, "the study is as it was"


def test_what_gave_up_is_worse_to_tpe_than_what_was_pruned(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=3)
    attempt = begin(study)
    study.report(attempt, 1.0, 0.5)
    record(study, attempt.key, "diverged")
    study.finish(attempt, "itself")
    end(study, "finished", 2.0)
    end(study, "pruned")
    shown = with_worst(trials_of(study.trials), study.trials.directions, pruned=False)
    assert [t.state for t in shown] == [TrialState.PRUNED, TrialState.COMPLETE, TrialState.PRUNED]
    assert shown[0].intermediate_values == {}, "TPE puts such a trial last"
    assert trials_of(study.trials)[0].intermediate_values, "the study is as it was"


def test_killed_and_repeated_attempts_say_nothing_of_their_settings(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=3, max_retries=1)
    end(study, "finished", 2.0)
    for _ in range(2):  # the second time it has failed, by no fault of its settings
        attempt = begin(study)
        record(study, attempt.key, "running")
        study.finish(attempt, "killed", "by SIGKILL")
    assert trials_of(study.trials)[-1].user_attrs["failure"] == "killed"
    assert seen(study) == [[2.0], None], "the attempt that was repeated is none of the trials"


def test_constraints_of_what_gave_up_are_the_worst_too() -> None:
    def trial(number: int, state: TrialState, **content: Any) -> FrozenTrial:
        attrs = {"key": f"t{number}", "status": "diverged"}
        made = optuna.trial.create_trial(state=state, user_attrs=attrs, **content)
        made.number = number
        return made

    def worst_of(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
        ended = [
            trial(place, TrialState.COMPLETE, values=[1.0, 2.0], system_attrs=attrs)
            for place, attrs in enumerate((one, other))
        ]
        directions = [StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE]
        shown = with_worst([*ended, trial(2, TrialState.FAIL)], directions, pruned=False)
        return shown[-1].system_attrs

    kept = {"constraints:seconds <= 60": 3.0, "constraints:fid <= 9": -1.0}
    reported = worst_of({**kept, "constraints:fid <= 9": -4.0}, {**kept, "cma:x": "y"})
    assert reported == kept
    assert worst_of({"constraints": [3.0, -4.0]}, {"constraints": (1.0, -1.0)}) == {
        "constraints": [3.0, -1.0]
    }
