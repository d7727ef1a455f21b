"""The view of a study in which each trial stands once, whatever attempts it took."""

from __future__ import annotations

from pathlib import Path

from optuna.trial import TrialState
from sweep_studies import NO_CONFIRMATION, ONE, begin, finish_with, make, pruner

from gansweep.engine.attempt import start
from gansweep.engine.study import SweepStudy
from gansweep.engine.time_left import seconds_left
from gansweep.search.trials import SECONDS_BEFORE, StudyView, is_begun, trials_of


def interrupted(directory: Path) -> SweepStudy:
    """t0000 has reported 1 and 2 kimg in two attempts and waits; t0001 has ended."""
    study = make(
        directory,
        n_trials=3,
        pruner=pruner("asha"),
        objective=ONE,
        confirm=NO_CONFIRMATION,
        max_retries=9,
        enqueue=[{"source": "given", "params": {"lr": 1.5}}],
    )
    for kimg in (1.0, 3.0):
        first = begin(study)
        study.report(first, kimg, 5.0 / kimg)
        study.finish(first, "killed")
    waiting = study.trials.trials[-1]
    other = SweepStudy(directory)
    planned = other.planned_trial()
    assert planned is not None
    other.trials.enqueue_trial(planned[0], user_attrs=planned[1])
    second = start(other, other.trials, other.trials.trials[-1], "other")
    other.suggest(second)
    finish_with(other, second, fid=1.0)
    assert waiting.state == TrialState.WAITING
    return study


def test_a_trial_stands_once_with_what_its_attempts_left(tmp_path: Path) -> None:
    study = interrupted(tmp_path / "s")
    first, second = trials_of(study.trials)
    assert [t.user_attrs["key"] for t in (first, second)] == ["t0000", "t0001"]
    assert first.state == TrialState.WAITING and is_begun(first)
    assert first.intermediate_values == {1000: 5.0, 3000: 5.0 / 3.0}
    assert first.system_attrs["completed_rung_0"] == 5.0 / 3.0
    assert (first.user_attrs["attempt"], first.user_attrs["kills"]) == (3, 2)
    assert first.user_attrs["enqueued"] == {"lr": 1.5}, "so that it is not tried again"
    assert first.user_attrs[SECONDS_BEFORE] > 0
    left = seconds_left(study, workers=1)
    assert left is not None and left > 0
    raw = study.trials.trials
    assert len(raw) == 4 and not raw[2].intermediate_values, "the study is as it was"


def test_a_sampler_sees_each_trial_once_by_number_and_the_study_behind(tmp_path: Path) -> None:
    study = interrupted(tmp_path / "s")
    view = StudyView(study.trials, lambda trials: trials)
    assert [t.number for t in view.get_trials()] == [2, 3]
    assert [t.number for t in view._get_trials(states=(TrialState.COMPLETE,))] == [3]
    assert view.direction == study.trials.direction


def test_what_a_trial_left_before_does_not_count_beside_it(tmp_path: Path) -> None:
    """One in three passes a rung: of 2, 3 and 4 the best does; counted twice, 2 would be the best
    of four, and 3, taken up again, would still be none of the best."""
    changes = {"pruner": pruner("asha"), "objective": ONE, "confirm": NO_CONFIRMATION}
    study = make(tmp_path / "s", n_trials=6, max_retries=9, **changes)
    stopped = []
    for value in (2.0, 3.0, 4.0, 2.5, 2.2, 2.1):
        attempt = begin(study)
        study.report(attempt, 1.0, value)
        study.finish(attempt, "killed")
        attempt = begin(study)
        stopped.append(study.report(attempt, 1.0, value))
        finish_with(study, attempt, fid=value)
    # 2.1 is the second best of six, of which two pass; beside itself it would be the third of seven
    assert stopped == [False, True, True, True, True, False]
