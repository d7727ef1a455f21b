"""Runs that never learned: which scores show it, when, and who uses it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from diagnosis_evidence import evidence, found, scored
from optuna.trial import TrialState
from report_records import part_of_sweep, protocol, write_run
from sweep_studies import begin, make, settings

from gansweep.cli.diagnoses import examined
from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.rules import diagnose
from gansweep.engine.confirm import winners
from gansweep.engine.leaderboard import write_leaderboard
from gansweep.engine.study import SweepStudy
from gansweep.judging.leaderboard import leaderboard
from gansweep.judging.statuses import (
    evidence_by_word,
    judged_runs,
    judged_status,
    why_nothing,
)
from gansweep.judging.trials import spent_by_end, sweeps_of
from gansweep.judging.verdict import verdict
from gansweep.metrics.protocol import DIRECTIONS, HELD_OUT, ON_REQUEST, QUICK
from gansweep.records.record import RunRecord
from gansweep.search.failed_as_worst import with_worst
from gansweep.search.trials import trials_of

# grey static on digits, as it was measured there
STATIC = {"fid": 62.2865, "precision": 0.0, "in_no_mode": 1.0}
LEARNED = {"fid": 6.7, "precision": 0.38, "in_no_mode": 0.52}


def run_of(*looks: dict[str, float], until: float = 100.0, status: str = "finished") -> Evidence:
    """A run with these scores at its evaluations."""
    scores: dict[str, Sequence[float]] = {w: [one[w] for one in looks] for w in looks[0]}
    return evidence(scores=scores, until=until, status=status)


@pytest.mark.parametrize(
    ("scores", "dead"),
    [
        (STATIC, True),
        ({"precision": 0.001, "in_no_mode": 0.999}, True),  # one of a thousand, by chance
        ({"precision": 0.003, "in_no_mode": 1.0}, False),
        ({"precision": 0.0, "in_no_mode": 0.99}, False),
        (LEARNED, False),
        ({"precision": 0.0}, False),  # a weak generator may miss all neighbourhoods
        ({"precision": 0.0, "is": 1.02}, True),  # one class for all: static under Inception
        ({"precision": 0.0, "is": 2.5}, False),
        ({"precision": 0.0, "in_no_mode": 0.0, "is": 1.0}, True),  # one shape, taken for a digit
        ({"fid": 62.2865}, False),
        ({"high_quality": 0.0}, True),
        ({"high_quality": 0.003}, False),
        ({}, False),
    ],
)
def test_one_evaluation_shows_samples_that_resemble_nothing(
    scores: dict[str, float], dead: bool
) -> None:
    assert (why_nothing(scores) != "") == dead


def test_a_run_that_ended_on_static_never_learned_by_one_evaluation() -> None:
    finding = found("never_learned", run_of(STATIC))
    assert finding is not None and finding.severity == "failure"
    assert "No sample resembles the data at 100 kimg (precision 0, in_no_mode 1)" in finding.text
    assert finding.columns[:2] == ("fid", "precision")


def test_the_plateau_of_a_saturated_score_is_reported_as_one() -> None:
    finding = found("never_learned", run_of(*[STATIC] * 4))
    assert finding is not None and "fid stays at 62.29 over 4 evaluations" in finding.text
    assert "saturated" in finding.text
    moving = run_of(*({**STATIC, "fid": fid} for fid in (90.0, 75.0, 62.3)))
    ended = found("never_learned", moving)
    assert ended is not None and "saturated" not in ended.text


@pytest.mark.parametrize(("until", "fires"), [(10.0, False), (49.0, False), (50.0, True)])
def test_a_young_run_is_given_half_of_its_budget(until: float, fires: bool) -> None:
    """Healthy runs on digits make noise for up to a sixth of their budget."""
    young = run_of(STATIC, STATIC, until=until, status="running")
    assert (found("never_learned", young) is not None) == fires


def test_a_slow_run_whose_objective_has_begun_to_move_is_given_all_of_its_budget() -> None:
    # as measured at a learning rate of 2e-5: the first samples near the data came at 96 kimg
    fids = (62.2865, 62.2865, 62.2861, 62.2858, 62.277, 62.243, 62.169, 61.97)
    slow = [{**STATIC, "fid": fid} for fid in fids]
    assert found("never_learned", run_of(*slow, until=60.0, status="running")) is None
    assert found("never_learned", run_of(*slow)) is not None, "it has spent its budget"
    still = [{**STATIC, "fid": 548.6 - n * 0.1} for n in range(8)]
    assert found("never_learned", run_of(*still, until=60.0, status="running")) is not None


def test_a_run_that_learned_in_between_may_come_back_while_it_trains() -> None:
    weak = {"fid": 59.0, "precision": 0.01, "in_no_mode": 0.99}
    assert found("never_learned", run_of(STATIC, weak, STATIC, status="running")) is None
    assert found("never_learned", run_of(STATIC, weak, STATIC)) is not None


def test_a_run_that_ended_on_static_after_it_had_learned_diverged() -> None:
    lost = run_of(LEARNED, LEARNED, STATIC)
    assert found("never_learned", lost) is None
    finding = found("divergence", lost)
    assert finding is not None and "All that was learned is lost" in finding.text
    assert "38% did before" in finding.text or "48% did before" in finding.text


def test_healthy_runs_never_learned_nothing() -> None:
    assert found("never_learned", run_of(STATIC, STATIC, LEARNED)) is None
    points = evidence(scores={"reverse_kl": [2.08, 0.3], "high_quality": [0.0, 0.2]})
    assert found("never_learned", points) is None


def test_points_that_move_around_the_modes_have_not_lost_them() -> None:
    """A GAN on the ring is in no mode at two of three evaluations, and in one mode at the third."""
    scores = {"reverse_kl": [2.08] * 6, "high_quality": [0.0, 0.02, 0.0, 0.1, 0.0, 0.0]}
    rules = {finding.rule for finding in diagnose(evidence(scores=scores))}
    assert not rules & {"never_learned", "divergence"}
    assert judged_status(ended({"high_quality": 0.0}, {"high_quality": 0.1})) == ("finished", "")
    assert judged_status(ended({"high_quality": 0.0}))[0] == "never learned"


def test_too_few_samples_say_nothing() -> None:
    for word, value, least in (("high_quality", 0.0, 1000), ("precision", 0.0, 100)):
        for n in (least, least - 1):
            assert evidence_by_word({word: value}, {word: scored(word, n_fake=n)}) == (
                {word: value} if n >= least else {}
            )


def test_a_model_that_is_judged_by_held_out_samples_may_make_none() -> None:
    given = run_of(*[{"class_error": 0.05, **STATIC}] * 3)
    judged = Evidence(**{**given_fields(given), "objective": "class_error"})
    assert found("never_learned", judged) is None and found("divergence", judged) is None
    result = ended(STATIC | {"class_error": 0.05}, objective="class_error")
    assert judged_status(result) == ("finished", "")


def given_fields(given: Evidence) -> dict[str, Any]:
    return {name: getattr(given, name) for name in Evidence.__dataclass_fields__}


def test_held_out_scores_are_those_that_no_sample_is_asked_for() -> None:
    assert set(HELD_OUT) <= DIRECTIONS.keys()
    assert not set(HELD_OUT) & {*QUICK, *ON_REQUEST}


def test_what_never_learned_is_no_over_generalisation_as_well() -> None:
    rules = [finding.rule for finding in diagnose(run_of(*[STATIC | {"recall": 0.9}] * 4))]
    assert rules == ["never_learned"]


# ---- what a record says, for the report and a sweep


def ended(
    last: dict[str, float], best: dict[str, float] | None = None, **more: Any
) -> dict[str, Any]:
    def entries(scores: dict[str, float]) -> dict[str, Any]:
        return {f"{word}_x": {"value": value, "kimg": 9.0} for word, value in scores.items()}

    objective = more.pop("objective", "fid")
    return {
        "status": "finished",
        "objective": f"{objective}_x",
        "last": entries(last),
        "best": entries(last if best is None else best),
        "protocols": {f"{word}_x": scored(word) for word in {*last, *(best or {})}},
        **more,
    }


def test_a_record_that_ended_on_static_is_read_as_never_learned() -> None:
    why = "no sample resembles the data: precision 0, in_no_mode 1"
    assert judged_status(ended(STATIC)) == ("never learned", why)
    assert judged_status(ended(STATIC, status="plateau"))[0] == "never learned"
    assert judged_status(ended(STATIC, LEARNED))[0] == "diverged"
    assert judged_status(ended(STATIC, LEARNED), at="best") == ("finished", "")
    assert judged_status(ended(LEARNED)) == ("finished", "")
    for status in ("running", "paused", "failed", "interrupted"):
        assert judged_status(ended(STATIC, status=status))[0] == status


def test_the_more_favourable_of_two_scores_of_one_word_counts() -> None:
    protocols = {"a": scored("precision"), "b": scored("precision"), "c": scored("in_no_mode")}
    assert evidence_by_word({"a": 0.0, "b": 0.2, "c": 1.0}, protocols) == {
        "precision": 0.2,
        "in_no_mode": 1.0,
    }


@pytest.mark.parametrize(
    "broken", [{}, {"last": [1]}, {"last": {"fid": 3}}, {"protocols": {"fid": [2]}}]
)
def test_a_damaged_record_keeps_its_own_status(broken: dict[str, Any]) -> None:
    assert judged_status({"status": "finished", **broken}) == ("finished", "")


NAMES = {"fid": "fid_x", "precision": "precision_x", "in_no_mode": "in_no_mode_x"}


def dead_or_alive(directory: Path, scores: dict[str, float], **more: Any) -> None:
    protocols = {
        NAMES[word]: protocol(word, DIRECTIONS[word], **more.pop("protocol", {})) for word in NAMES
    }
    values = {NAMES[word]: [value] for word, value in scores.items()}
    write_run(directory, scores=values, protocols=protocols, objective="fid_x", **more)


def test_the_report_ranks_none_that_never_learned(tmp_path: Path) -> None:
    for key, scores in (("t0", STATIC), ("t1", LEARNED), ("t2", STATIC)):
        part = part_of_sweep(key, {"x": key}, at="last")
        dead_or_alive(tmp_path / key, scores, sweep=part)
    runs = judged_runs([tmp_path])
    board = leaderboard(runs)
    assert [row.settings["x"] for row in board.rows] == ["t1"]
    assert [(run.status, "resembles" in run.reason) for run in board.early] == [
        ("never learned", True)
    ] * 2
    ends = [(one.end, one.count) for one in spent_by_end(sweeps_of(runs)[0])]
    assert ends == [("finished", 1), ("never learned", 2)]
    patients = [examined(run) for run in runs]
    assert [p.verdict for p in patients] == ["failure", "healthy", "failure"]
    dead = leaderboard([run for run in runs if not run.complete])
    assert verdict(dead) == "There is no winner: 2 runs ended, and never learned."


def test_a_seed_that_never_learned_is_a_lost_one(tmp_path: Path) -> None:
    for seed, scores in enumerate([LEARNED, LEARNED, STATIC]):
        dead_or_alive(tmp_path / str(seed), scores, seed=seed)
    (row,) = leaderboard(judged_runs([tmp_path])).rows
    assert (row.seeds, row.lost, row.flaw) == (2, 1, "lost 1 seed")


def test_a_sweep_takes_static_for_a_failure_and_confirms_none(tmp_path: Path) -> None:
    confirm = {"top": 3, "per": "config", "seeds": 1}
    study = make(tmp_path / "s", n_trials=4, confirm=confirm)
    statuses = [end(study, scores) for scores in (STATIC, LEARNED, STATIC, {**LEARNED, "fid": 7.0})]
    assert statuses == ["never learned", "finished", "never learned", "finished"]
    trials = trials_of(study.trials)
    assert [t.state == TrialState.COMPLETE for t in trials] == [False, True, False, True]
    assert "no sample resembles the data" in trials[0].user_attrs["reason"]
    assert [t.number for t in winners(trials, study.space, settings(confirm=confirm))] == [1, 3]
    seen = with_worst(trials, study.trials.directions, pruned=False)
    assert [t.values for t in seen] == [[7.0], [6.7], [7.0], [7.0]], "as bad as the worst"
    # a confirmation run on static is a lost seed
    assert [end(study, STATIC), end(study, LEARNED)] == ["never learned", "finished"]
    board = write_leaderboard(study)
    assert board is not None
    content = json.loads(board.read_text())
    assert [row["trial"] for row in content["rows"]] == ["t0003"]
    assert "1 never learned" in content["left_out"]["t0001"]


def end(study: SweepStudy, scores: dict[str, float]) -> str:
    """Finish the next trial with these scores.   Returns: its status."""
    attempt = begin(study)
    result = ended(scores)
    result["protocols"] = {name: {"score": p["score"]} for name, p in result["protocols"].items()}
    RunRecord.create(study.run_dir(attempt.key), "a: 1\n").write_result(result)
    return study.finish(attempt, "itself")


def test_what_gave_up_is_no_tie_of_the_only_trial_that_came_to_something(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=3)
    for scores in (STATIC, LEARNED, STATIC):
        end(study, scores)
    seen = with_worst(trials_of(study.trials), study.trials.directions, pruned=True)
    assert [t.values for t in seen] == [[13.4], [6.7], [13.4]]
