"""The search of a sweep: samplers, pruners, objectives, constraints, what is tried first."""

from __future__ import annotations

import json
import logging
import math
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import sweep_fakes
from omegaconf import OmegaConf
from optuna.trial import TrialState
from rich.console import Console
from scipy.stats import qmc
from test_sweep_study import begin, make, settings

from gansweep.config import compose
from gansweep.errors import UserError
from gansweep.metrics.panel import MEASURES
from gansweep.metrics.protocol import CHOSEN_BY, ON_REQUEST, QUICK
from gansweep.record import RunRecord
from gansweep.sweep import samplers
from gansweep.sweep.attempt import Attempt
from gansweep.sweep.confirm import front, winners
from gansweep.sweep.constraints import Constraint, broken, met_by
from gansweep.sweep.enqueue import starting_points
from gansweep.sweep.leaderboard import write_leaderboard
from gansweep.sweep.objective import Objective, refuse_unmeasured
from gansweep.sweep.pruning import PeerPruner, make_pruner
from gansweep.sweep.run import run_sweep
from gansweep.sweep.samplers import make_sampler
from gansweep.sweep.search import with_direction
from gansweep.sweep.space import Space
from gansweep.sweep.study import SweepStudy, latest
from gansweep.sweep.table import EventLines, LiveTable, Watch

VALLEY = {
    "lr": "tag(log, interval(1e-5, 1e-1))",
    "weight": "tag(log, interval(1e-2, 1e2))",
    "rate": "interval(0, 1)",
}
BLOCKS: dict[str, Any] = {
    "model": "choice(gan, wgan)",
    "lr": "tag(log, interval(1e-5, 1e-1))",
    "steps": "range(1, 9)",
    "model=wgan": {"clip": "interval(0, 1)", "lr": "tag(log, interval(1e-3, 1))"},
}
TWO = {"metric": ["fid", "coverage"], "direction": "auto", "at": "last"}
ONE = {"metric": "fid", "direction": "auto", "at": "last"}
NEEDS_4_5 = pytest.mark.skipif(
    samplers._version() < (4, 5), reason="GP takes several objectives from Optuna 4.5 on"
)
NO_CONFIRMATION = {"top": 0, "per": "config", "seeds": 1}


def sampler(name: str, seed: int = 0, startup: int = 8) -> dict[str, Any]:
    return {"name": name, "seed": seed, "startup_trials": startup}


def pruner(name: str, **options: Any) -> dict[str, Any]:
    usual = {"warmup_fraction": 0.1, "startup_trials": 1, "reduction_factor": 3}
    return {"name": name, **usual, **options}


def record(study: SweepStudy, run: str, seconds: float = 1.0, **scores: float) -> None:
    RunRecord.create(study.run_dir(run), "a: 1\n").write_result(
        {
            "status": "finished",
            "reason": "",
            "seconds": seconds,
            "last": {f"{word}_x": {"value": value} for word, value in scores.items()},
            "protocols": {f"{word}_x": {"score": word} for word in scores},
        }
    )


def finish(study: SweepStudy, attempt: Attempt, seconds: float = 1.0, **scores: float) -> str:
    record(study, attempt.key, seconds, **scores)
    return study.settle(attempt, "itself")


def grid_of(study: SweepStudy, seen: dict[Any, dict[str, float]]) -> None:
    """Run the grid of a study to its end: the point of each trial by the values of its keys."""
    for _ in range(len(seen)):
        attempt = begin(study)
        finish(study, attempt, **seen[tuple(attempt.params.values())])


# samplers


def best_of(name: str, seed: int, n_trials: int) -> float:
    """The least value that a sampler finds on a bowl of three parameters, two in decades."""
    chosen, space = settings(space=VALLEY, sampler=sampler(name, seed)), Space.parse(VALLEY)
    study = optuna.create_study()
    found = []
    for number in range(n_trials):
        study.sampler = make_sampler(chosen, space, number)
        study.enqueue_trial({})  # as the queue does
        trial = study.ask()
        at = space.suggest(trial)
        decades = math.log10(at["lr"] / 3e-4) ** 2 + math.log10(at["weight"] / 3) ** 2
        found.append(decades + 4 * (at["rate"] - 0.3) ** 2)
        study.tell(trial, found[-1])
    return min(found)


@pytest.mark.parametrize(
    ("name", "n_trials", "repeats"), [("tpe", 40, 5), ("cmaes", 40, 5), ("gp", 16, 1)]
)
def test_sampler_that_learns_comes_much_closer_than_random(
    name: str, n_trials: int, repeats: int
) -> None:
    at_random = statistics.median(best_of("random", seed, n_trials) for seed in range(9))
    learned = statistics.median(best_of(name, seed, n_trials) for seed in range(repeats))
    assert learned < at_random / 2


def test_quasi_random_points_are_more_even_than_random_ones() -> None:
    space = Space.parse({"a": "interval(0, 1)", "b": "interval(0, 1)", "c": "interval(0, 1)"})
    study = optuna.create_study()

    def unevenness(name: str, seed: int) -> float:
        points = []
        for number in range(32):
            chosen = settings(sampler=sampler(name, seed))
            study.sampler = make_sampler(chosen, space, number)
            points.append(list(space.suggest(study.ask()).values()))
        return float(qmc.discrepancy(np.array(points)))

    even = [unevenness("qmc", seed) for seed in range(4)]
    assert max(even) < min(unevenness("random", seed) for seed in range(4)) / 2
    assert len(set(even)) == 4  # scrambled by the seed


def test_quasi_random_points_give_every_choice_its_share() -> None:
    entries = {"a": "choice(x, y, z, w)", "b": "int(interval(1, 4))", "c": "choice(32, 64)"}
    space, study = Space.parse(entries), optuna.create_study()
    taken = []
    for number in range(64):
        study.sampler = make_sampler(settings(sampler=sampler("qmc")), space, number)
        taken.append(space.suggest(study.ask()))
    for key, count in (("a", 16), ("b", 16), ("c", 32)):
        values = [t[key] for t in taken]
        assert all(abs(values.count(value) - count) <= 1 for value in set(values))


@pytest.mark.parametrize("name", ["random", "qmc", "tpe", "cmaes"])
def test_workers_at_once_draw_different_points_and_a_retry_draws_its_own(
    tmp_path: Path, name: str
) -> None:
    drawn: dict[str, list[Any]] = {}
    space = VALLEY if name == "cmaes" else BLOCKS
    drawn_already = Space.parse(space).parameters[0]
    for folder in ("plain", "interrupted"):
        chosen = sampler(name, startup=2)
        make(tmp_path / folder, n_trials=9, space=space, sampler=chosen, objective=ONE)
        workers = [SweepStudy(tmp_path / folder) for _ in range(3)]
        for worker in workers:  # what is told before the point that is looked at
            finish(worker, begin(worker), fid=1.0)
        attempts = [worker.claim("me") for worker in workers]
        for worker, attempt in zip(workers, attempts, strict=True):
            assert attempt is not None
            if folder == "interrupted":
                drawn_already.domain.suggest(attempt.trial, drawn_already.name)
                worker.settle(attempt, "killed")
                attempt = worker.claim("me")
                assert attempt is not None
                assert attempt.number == 2
            worker.suggest(attempt)
            drawn.setdefault(folder, []).append((attempt.key, attempt.params))
    assert len({json.dumps(params) for _, params in drawn["plain"]}) == 3
    if name != "tpe":  # which looks at what runs beside it
        assert drawn["interrupted"] == drawn["plain"]


def test_retry_of_a_trial_still_counts_in_its_generation_of_cma_es(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=30, space=VALLEY, sampler=sampler("cmaes"), objective=ONE)
    other = SweepStudy(tmp_path / "s")  # another worker, which sees only what the storage keeps
    for position in range(14):
        worker = (study, other)[position % 2]
        attempt = begin(worker)
        if position % 3 == 1:
            worker.settle(attempt, "interrupted")
            again = begin(worker)
            assert (again.key, again.params) == (attempt.key, attempt.params)
            attempt = again
        finish(worker, attempt, fid=math.log10(attempt.params["lr"] / 3e-4) ** 2)
    generations = [t.system_attrs.get("cma:generation") for t in latest(study.trials)]
    assert generations == [None, *[0] * 7, *[1] * 6]  # seven make a generation in three dimensions


@pytest.mark.parametrize("name", ["gp", "tpe", "cmaes", "qmc"])
def test_blocks_and_choices_are_searched_by_every_sampler_without_a_word_per_trial(
    tmp_path: Path,
    name: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("optuna"), "propagate", True)
    study = make(
        tmp_path / "s", n_trials=8, space=BLOCKS, sampler=sampler(name, startup=3), objective=ONE
    )
    models = set()
    for _ in range(8):
        attempt = begin(study)
        models.add(attempt.params["model"])
        assert ("clip" in attempt.params) == (attempt.params["model"] == "wgan")
        finish(study, attempt, fid=float(attempt.params["steps"]))
    assert models == {"gan", "wgan"}
    assert [r.message for r in caplog.records if r.name.startswith("optuna")] == []


def test_sampler_says_once_what_it_leaves_to_chance() -> None:
    space = Space.parse(BLOCKS)
    (line,) = samplers.remarks(settings(sampler=sampler("cmaes")), space)
    assert line.startswith("cmaes searches steps; model, lr and clip are drawn at random")
    (line,) = samplers.remarks(settings(sampler=sampler("gp")), space)
    assert line.startswith("gp searches model and steps; lr and clip are drawn at random")
    assert samplers.remarks(settings(sampler=sampler("tpe")), space) == []
    (line,) = samplers.remarks(
        settings(sampler=sampler("qmc"), constraints=["seconds <= 1"]), space
    )
    assert "as if there were no constraints" in line


def test_gp_of_an_old_optuna_is_refused_for_several_objectives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(samplers, "__version__", "4.3.0")
    chosen = settings(sampler=sampler("gp"), objective=TWO)
    with pytest.raises(UserError, match="pip install --upgrade optuna"):
        samplers.refuse_unfit(chosen, Space.parse(chosen.space))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"sampler": sampler("cmaes"), "objective": TWO}, "cmaes follows one objective"),
        ({"sampler": sampler("cmaes"), "space": {"m": "choice(a, b)"}}, "Use .*name=tpe"),
        (
            {
                "sampler": sampler("gp"),
                "space": {"m": "a,b", "m=a": {"x": "1,2"}, "m=b": {"m2": 1}},
            },
            None,
        ),
    ],
)
def test_sampler_that_cannot_search_the_space_is_refused(
    words: dict[str, Any], said: str | None
) -> None:
    chosen = settings(**words)
    if said is None:  # one choice that every trial has is enough
        samplers.refuse_unfit(chosen, Space.parse(chosen.space))
        return
    with pytest.raises(UserError, match=said):
        samplers.refuse_unfit(chosen, Space.parse(chosen.space))


# pruners


def test_asha_follows_the_rungs_worked_out_by_hand(tmp_path: Path) -> None:
    """One in three passes a rung, at least one; rungs stand at 1, 3 and 9 kimg of 10.

    At 1 kimg: 5 first; 4 best of 2; 6 not best of 3; 3 best of 4; 7 not best of 5; 2 among the
    best two of 6; 3.5 not; 2.5 among the best two of 8, and so is 1 of 9, whose best three count.
    At 3 kimg each keeps its value, and 5, 4, 3, 2, 2.5, 1 come in this order: 2.5 is not the best
    of five.
    """
    study = make(tmp_path / "s", n_trials=9, pruner=pruner("asha"), objective=ONE)
    stopped_at: list[float | None] = []
    for value in (5.0, 4.0, 6.0, 3.0, 7.0, 2.0, 3.5, 2.5, 1.0):
        attempt = begin(study)
        kimg = (1.0, 2.0, 3.0, 5.0, 9.0, 10.0)
        stopped_at.append(next((k for k in kimg if study.report(attempt, k, value)), None))
        finish(study, attempt, fid=value)
    assert stopped_at == [None, None, 1.0, None, 1.0, None, 1.0, 3.0, None]


def seeds_run(study: SweepStudy, mean: float, draw: random.Random) -> int:
    """Run a trial with values around `mean`, until its pruner stops it; how many of its seeds."""
    attempt = begin(study)
    for count, run in enumerate(attempt.runs, start=1):
        record(study, run.name, fid=draw.gauss(mean, 1.0))
        if study.report_seed(attempt, run) and run is not attempt.runs[-1]:
            study.settle(attempt, "pruned")
            return count
    study.settle(attempt, "itself")
    return len(attempt.runs)


def test_wilcoxon_stops_the_bad_early_and_the_good_never() -> None:
    chosen = settings(seeds=8, pruner=pruner("wilcoxon"), objective=ONE)
    ran: dict[str, list[int]] = {"first": [], "alike": [], "bad": [], "good": []}
    for repeat in range(20):
        draw = random.Random(repeat)
        study = optuna.create_study(pruner=PeerPruner(make_pruner(chosen), lambda _: None))
        for kind, mean in (("first", 10.0), ("alike", 10.0), ("bad", 14.0), ("good", 7.0)):
            study.enqueue_trial({}, user_attrs={"key": kind})
            trial, values = study.ask(), []
            while len(values) < 8 and not trial.should_prune():
                values.append(draw.gauss(mean, 1.0))
                trial.report(values[-1], len(values))
            whole = len(values) == 8
            state = TrialState.COMPLETE if whole else TrialState.PRUNED
            study.tell(trial, statistics.fmean(values) if whole else None, state)
            ran[kind].append(len(values))
    assert statistics.fmean(ran["bad"]) < 4.5  # four losses in a row are what p < 0.1 takes
    assert ran["good"] == [8] * 20
    assert statistics.fmean(ran["alike"]) > 6.5


def test_wilcoxon_compares_a_variant_with_the_best_of_its_own(tmp_path: Path) -> None:
    study = make(
        tmp_path / "s",
        n_trials=4,
        seeds=6,
        space={"model": "gan,wgan", "lr": "1,2"},
        sampler=sampler("grid"),
        pruner=pruner("wilcoxon"),
        objective=ONE,
        confirm={"top": 2, "per": "model", "seeds": 1},
    )
    means = {"gan": 5.0, "wgan": 50.0}
    for _ in range(4):
        model = begin_model(study)
        assert seeds_run(study, means[model], random.Random(1)) == 6


def begin_model(study: SweepStudy) -> str:
    """The model of the trial that comes next."""
    planned = study.queue.next_trial(study.trials.trials)
    assert planned is not None
    return str(planned[0]["model"])


def test_trial_equal_to_the_best_is_not_stopped_by_wilcoxon(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=2, seeds=6, pruner=pruner("wilcoxon"), objective=ONE)
    for _ in range(2):
        attempt = begin(study)
        for position, run in enumerate(attempt.runs):
            record(study, run.name, fid=float(position))
            assert not study.report_seed(attempt, run)
        study.settle(attempt, "itself")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"pruner": pruner("wilcoxon"), "seeds": 4}, "Use sweep.seeds=5 or more"),
        ({"pruner": pruner("asha"), "objective": TWO}, "2 objectives. Use sweep.pruner.name=none"),
        (
            {"pruner": pruner("median"), "objective": {**ONE, "metric": "seconds"}},
            "'seconds' is known at their end",
        ),
        ({"objective": {**TWO, "at": "best"}}, "no network has them all. Use at=last"),
        ({"objective": {**ONE, "metric": ["fid", "fid"]}}, "names one twice"),
        ({"sampler": sampler("cmaess")}, "Did you mean 'cmaes'"),
        ({"objective": {**ONE, "metric": "second"}}, "Did you mean 'seconds'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(words: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        settings(**words)


# several objectives


POINTS = {  # (model, lr) -> scores; of gan the second is beaten, of wgan none is
    ("gan", 0): {"fid": 1.0, "coverage": 0.5},
    ("gan", 1): {"fid": 2.0, "coverage": 0.5},
    ("gan", 2): {"fid": 3.0, "coverage": 0.9},
    ("wgan", 0): {"fid": 4.0, "coverage": 0.95},
    ("wgan", 1): {"fid": 1.0, "coverage": 0.5},
    ("wgan", 2): {"fid": 9.0, "coverage": 0.95},
}


def two_objectives(directory: Path, **changes: Any) -> SweepStudy:
    study = make(
        directory,
        n_trials=6,
        space={"model": "gan,wgan", "lr": "range(0, 3)"},
        sampler=sampler("grid"),
        objective=TWO,
        **changes,
    )
    grid_of(study, POINTS)
    return study


def test_pareto_front_wins_the_best_first_score_first(tmp_path: Path) -> None:
    study = two_objectives(tmp_path / "s")
    assert [d.name for d in study.trials.directions] == ["MINIMIZE", "MAXIMIZE"]
    trials = latest(study.trials)
    values = [t.values for t in front(trials, study.settings)]
    assert values == [[1.0, 0.5], [1.0, 0.5], [3.0, 0.9], [4.0, 0.95]]  # equals beat nobody

    def picked(per: str, top: int) -> list[Any]:
        chosen = settings(objective=TWO, confirm={"top": top, "per": per, "seeds": 1})
        found = winners(trials, study.space, chosen)
        return [t.params["model"] + str(t.params["lr"]) for t in found]

    equals = {t.params["model"] + str(t.params["lr"]): t.number for t in trials}
    first_two = sorted(["gan0", "wgan1"], key=lambda name: equals[name])
    assert picked("config", 9) == [*first_two, "gan2", "wgan0"]
    assert picked("config", 2) == first_two
    assert picked("model", 3) == [*first_two, "gan2"]  # the best of each front, then the next


def test_views_show_the_best_first_score_and_the_size_of_the_front(tmp_path: Path) -> None:
    study = two_objectives(tmp_path / "s")
    console = Console(width=100, height=40, record=True)
    console.print(LiveTable(Watch(study), 1, console).render())
    shown = console.export_text()
    assert "4 on the Pareto front" in shown
    assert "best 1 (t000" in shown
    lines = EventLines(Watch(study), 1)
    lines.update()


def test_cost_is_read_from_the_result_and_averaged_over_seeds(tmp_path: Path) -> None:
    objective = {**ONE, "metric": ["seconds", "fid"]}
    study = make(tmp_path / "s", n_trials=1, seeds=2, objective=objective)
    attempt = begin(study)
    for run, seconds in zip(attempt.runs, (10.0, 30.0), strict=True):
        record(study, run.name, seconds=seconds, fid=4.0)
    study.settle(attempt, "itself")
    assert study.trials.trials[0].values == [20.0, 4.0]
    words = {"metric": "images_per_second", "direction": "auto", "at": "last"}
    assert Objective.parse(words).direction == "maximize"
    assert Objective.parse(words).read({"images_per_second": None}) is None


def test_direction_of_auto_among_several_is_that_of_the_models_score() -> None:
    base = {"model": {"judged_by": ["psnr"]}, "metrics": {"scores": None}}
    several = {"metric": ["auto", "seconds"], "direction": "auto", "at": "last"}
    found = with_direction(several, OmegaConf.create(base))
    assert [o.direction for o in Objective.parse_all(found)] == ["maximize", "minimize"]


@pytest.mark.parametrize("name", ["tpe", "qmc", pytest.param("gp", marks=NEEDS_4_5)])
def test_samplers_search_several_objectives_under_a_constraint(tmp_path: Path, name: str) -> None:
    study = make(
        tmp_path / "s",
        n_trials=8,
        space={"lr": "interval(0, 1)", "steps": "range(1, 9)"},
        sampler=sampler(name, startup=6),
        objective=TWO,
        constraints=["seconds <= 5"],
    )
    for _ in range(8):
        attempt = begin(study)
        at = attempt.params
        finish(study, attempt, seconds=at["steps"], fid=at["lr"], coverage=at["steps"] / 9)
    assert all(t.state == TrialState.COMPLETE for t in study.trials.trials)
    assert all(t.params["steps"] <= 4 for t in front(latest(study.trials), study.settings))


# constraints


def test_constraint_is_read_strictly_and_keeps_its_bound() -> None:
    at_most, at_least = Constraint.parse("seconds<=6e1"), Constraint.parse(" coverage >= .5 ")
    assert (str(at_most), str(at_least)) == ("seconds <= 60", "coverage >= 0.5")
    assert at_most.excess(60.0) == 0 == at_least.excess(0.5)
    assert at_most.excess(61.0) == 1
    assert at_least.excess(0.25) == 0.25
    for text in ("seconds < 60", "60 >= seconds", "seconds <= a minute", "seconds <= nan", 60):
        with pytest.raises(UserError, match="Write METRIC <= NUMBER"):
            Constraint.parse(text)


def test_trial_that_breaks_a_constraint_never_wins_and_is_said_to(tmp_path: Path) -> None:
    study = make(
        tmp_path / "s",
        n_trials=3,
        space={"lr": "range(0, 3)"},
        sampler=sampler("grid"),
        objective=ONE,
        constraints=["seconds <= 60", "coverage >= 0.5"],
        confirm={"top": 3, "per": "config", "seeds": 1},
    )
    seen = {
        (0,): {"seconds": 81.2, "fid": 1.0, "coverage": 0.4},
        (1,): {"seconds": 60.0, "fid": 2.0, "coverage": 0.5},
        (2,): {"seconds": 10.0, "fid": 3.0, "coverage": 0.9},
    }
    grid_of(study, seen)
    by_lr = {t.params["lr"]: t for t in latest(study.trials)}
    assert broken(by_lr[0]) == "breaks seconds <= 60 (81.2), coverage >= 0.5 (0.4)"
    won = winners(latest(study.trials), study.space, study.settings)
    assert [t.params["lr"] for t in won] == [1, 2]
    rows = Watch(study).rows()
    best = Watch(study).best(rows)
    assert best is not None
    assert best.value == 2.0
    while (run := study.claim("me")) is not None:
        finish(study, run, fid=2.0)
    path = write_leaderboard(study)
    assert path is not None
    key = by_lr[0].user_attrs["key"]
    assert json.loads(path.read_text())["left_out"] == {key: broken(by_lr[0])}


def test_best_by_the_records_alone_meets_the_constraints_too() -> None:
    limits = [Constraint.parse("seconds <= 60")]
    assert met_by(limits, [{"seconds": 50.0}, {"seconds": 70.0}])  # the mean of two seeds
    assert not met_by(limits, [{"seconds": 61.0}])
    assert not met_by(limits, [{}])
    assert met_by([], [{}])


def test_samplers_that_know_constraints_are_told(tmp_path: Path) -> None:
    study = make(
        tmp_path / "s",
        n_trials=2,
        sampler=sampler("tpe"),
        objective=ONE,
        constraints=["seconds <= 60"],
    )
    finish(study, begin(study), seconds=81.0, fid=1.0)
    finish(study, begin(study), seconds=50.0, fid=2.0)
    told = [
        [v for k, v in t.system_attrs.items() if "constraints" in k] for t in study.trials.trials
    ]
    assert [np.ravel(values).tolist() for values in told] == [[21.0], [-10.0]]
    assert study.trials.best_trial.values == [2.0]  # Optuna's dashboard agrees


def test_trial_without_the_metric_of_a_constraint_fails_and_says_why(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=1, objective=ONE, constraints=["coverage >= 0.5"])
    assert finish(study, begin(study), fid=1.0) == "failed"
    (trial,) = study.trials.trials
    assert trial.user_attrs["reason"] == "no value of 'coverage', which sweep.constraints names"


def test_changed_constraints_are_another_search(tmp_path: Path) -> None:
    begin(make(tmp_path / "s", constraints=["seconds <= 60"])).lease.release()
    with pytest.raises(UserError, match="constraints: seconds <= 60 there, seconds <= 90 here"):
        make(tmp_path / "s", constraints=["seconds <= 90"])


def test_metric_that_runs_do_not_measure_is_refused_with_the_mend() -> None:
    def refused(metric: str, **metrics: Any) -> str:
        with pytest.raises(UserError) as found:
            refuse_unmeasured("sweep.constraints", metric, metrics)
        return str(found.value)

    assert "metrics.scores=[fid,coverage]" in refused("coverage", scores=["fid"])
    assert "class_agreement,fid_infinity]" in refused("fid_infinity", scores=None)
    assert "metrics=none measures nothing" in refused("fid", _target_=None)
    assert "Did you mean 'seconds'" in refused("secnods", scores=None)
    for metric in ("seconds", "auto", "psnr", "high_quality", "fid_digitsnet_1k_train", "mine"):
        refuse_unmeasured("sweep.constraints", metric, {"scores": None})
    refuse_unmeasured("sweep.constraints", "ndb_js", {"scores": "all"})


def test_words_of_the_scores_are_those_that_the_panel_measures() -> None:
    assert {*QUICK, *ON_REQUEST} == {word for m in MEASURES for word in m.choices}
    for word, chosen in CHOSEN_BY.items():
        assert any(chosen in m.choices and word in m.words for m in MEASURES)


# what is tried first


def points(
    entries: Sequence[Any], space: dict[str, Any], directory: Path = Path("here")
) -> tuple[list[dict[str, Any]], list[str]]:
    return starting_points(entries, Space.parse(space), compose, directory)


PAPERS = {
    "model": "choice(dcgan, wgan_gp, wgan)",
    "model.optimizer.generator.lr": "tag(log, interval(9e-5, 2e-3))",
    "model=wgan_gp": {"model.n_critic": "choice(1, 5)"},
    "model=dcgan": {"model.batch_size": "choice(64, 128)", "model.generator.width": 32},
}


def test_defaults_are_those_of_every_model_that_the_space_takes() -> None:
    found, skipped = points(["defaults"], PAPERS)
    assert found == [
        {
            "source": "defaults of dcgan",
            "params": {
                "model": "dcgan",
                "model.optimizer.generator.lr": 2e-4,
                "model.batch_size": 128,
            },
        },
        {
            "source": "defaults of wgan_gp",
            "params": {
                "model": "wgan_gp",
                "model.optimizer.generator.lr": 1e-4,
                "model.n_critic": 5,
            },
        },
    ]
    (line,) = skipped
    assert line.startswith("Not tried first: defaults of wgan. model.optimizer.generator.lr=5e-05 ")


def test_defaults_of_keys_that_the_configuration_lacks_are_drawn() -> None:
    found, skipped = points(["defaults"], {"+extra": "choice(1, 2)", "seed": "choice(0, 1)"})
    assert found == [{"source": "defaults", "params": {"seed": 0}}]
    assert skipped == []
    found, (line,) = points(["defaults"], {"+extra": "choice(1, 2)"})
    assert (found, line) == (
        [],
        "Not tried first: defaults. None of the searched keys has a value there.",
    )


def test_given_settings_are_pinned_under_the_names_of_the_blocks_that_may_hold() -> None:
    (found,), _ = points([{"lr": 0.01}], BLOCKS)
    assert found["params"] == {"lr [model=wgan]": 0.01, "lr": 0.01}
    (found,), _ = points([{"model": "gan", "lr": 1e-5, "steps": 8}], BLOCKS)
    assert found["params"] == {"model": "gan", "lr": 1e-5, "steps": 7}  # the eighth of range(1, 9)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"lr": 5}, "begin with {lr:5}: lr=5 is outside 'lr: .* in the block 'model=wgan'"),
        ({"lr": 1e-4}, "in the block 'model=wgan'"),  # wgan may be drawn, and does not take it
        ({"model": "gann"}, r"model=gann is outside 'model: choice\(gan,wgan\)'"),
        ({"model": "gan", "clip": 0.5}, "'clip' stands only in the block 'model=wgan'"),
        ({"stepps": 3}, "Did you mean 'steps'"),
        ({"steps": 2.5}, "steps=2.5 is outside"),
        ({"steps": True}, "steps=true is outside"),
        ("default", "Did you mean 'defaults'"),
        ("runs/none", "no sweep.yaml in it"),
    ],
)
def test_what_cannot_be_tried_first_is_refused_by_name(entry: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        points([entry], BLOCKS)


def test_best_of_an_earlier_sweep_is_tried_again_where_it_fits(tmp_path: Path) -> None:
    earlier = make(
        tmp_path / "earlier",
        n_trials=8,
        space={"lr": "range(0, 8)"},
        sampler=sampler("grid"),
        objective=ONE,
        confirm=NO_CONFIRMATION,
    )
    grid_of(earlier, {(lr,): {"fid": 10.0 - lr} for lr in range(8)})
    directory = str(tmp_path / "earlier")
    found, skipped = points(
        [directory, {"lr": 5}], {"lr": "interval(0, 6)", "steps": "range(1, 9)"}
    )
    assert [f["params"]["lr"] for f in found] == [6.0, 5.0, 4.0, 3.0, 2.0]  # 7 does not fit
    keys = {t.params["lr"]: t.user_attrs["key"] for t in earlier.trials.trials}
    assert found[0]["source"] == f"{directory}/{keys[6]}"
    named = f"Not tried first: {directory}/{keys[7]}. "
    assert skipped == [named + "lr=7 is outside 'lr: interval(0.0,6.0)'."]
    with pytest.raises(UserError, match="is this sweep itself"):
        points([directory], BLOCKS, tmp_path / "earlier")


def test_earlier_settings_of_a_key_that_is_no_longer_searched_fit_where_they_agree(
    tmp_path: Path,
) -> None:
    earlier = make(
        tmp_path / "earlier",
        n_trials=4,
        space={"model": "choice(dcgan, gan)", "model.n_critic": "choice(1, 2)"},
        sampler=sampler("grid"),
        objective=ONE,
    )
    scores = {("dcgan", 1): 3.0, ("dcgan", 2): 1.0, ("gan", 1): 2.0, ("gan", 2): 4.0}
    grid_of(earlier, {point: {"fid": fid} for point, fid in scores.items()})
    for path in (tmp_path / "earlier").glob("*/config.yaml"):
        path.write_text("model: {batch_size: 64}\n")
    found, (line,) = points(
        [str(tmp_path / "earlier")],
        {"model": "choice(gan, dcgan)", "model.batch_size": "choice(32, 64)"},
    )
    # n_critic is 1 in both here, and the record says what else the run had
    assert [f["params"]["model"] for f in found] == ["gan", "dcgan"]
    assert [f["params"]["model.batch_size"] for f in found] == [64, 64]
    assert "and 1 more. 'model.n_critic' is no entry of the search space." in line


def test_enqueued_settings_come_first_count_and_survive_a_retry(tmp_path: Path) -> None:
    entries = [{"lr": 0.5}, {"lr": 0.25, "steps": 3}]
    space = {"lr": "interval(0, 1)", "steps": "range(1, 9)"}
    study = make(
        tmp_path / "s",
        n_trials=3,
        space=space,
        objective=ONE,
        enqueue=points(entries, space)[0],
        sampler=sampler("tpe", startup=1),
    )
    first = begin(study)
    assert first.params["lr"] == 0.5
    study.settle(first, "killed")
    again = begin(study)
    assert (again.key, again.params) == ("t0000", first.params)
    entry = again.sweep_entry(study.settings, again.runs[0], study.directory)
    assert entry["source"] == "given"
    finish(study, again, fid=1.0)
    second = begin(study)
    assert second.params == {"lr": 0.25, "steps": 3}
    finish(study, second, fid=1.0)
    third = begin(study)
    entry = third.sweep_entry(study.settings, third.runs[0], study.directory)
    assert "source" not in entry
    finish(study, third, fid=1.0)
    attrs = [t.user_attrs.get("source") for t in study.trials.trials]
    assert attrs == ["given", "given", "given", None]


def test_what_is_enqueued_later_is_tried_next(tmp_path: Path) -> None:
    space = {"lr": "interval(0, 1)"}
    for entries in ([{"lr": 0.5}], [{"lr": 0.125}, {"lr": 0.5}]):
        study = make(
            tmp_path / "s",
            n_trials=3,
            space=space,
            objective=ONE,
            enqueue=points(entries, space)[0],
        )
        attempt = begin(study)
        assert attempt.params == entries[0]
        finish(study, attempt, fid=1.0)


SWEEP = "n_trials: 2\nspace: {model: 'choice(gan, wgan)', lr: 'interval(1, 2)'}\n"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("sweep.enqueue=[{lr:5}]", "lr=5 is outside"),
        ("sweep.enqueue=[{lr:1},{lr:1.5},{lr:2}]", "Use n_trials=3 or more"),
        ("sweep.enqueue=default", "Did you mean 'defaults'"),
        ("sweep.constraints=seconds", "Write METRIC <= NUMBER"),
        ('sweep.constraints=["secs <= 60"]', "Did you mean 'seconds'"),
        ("sweep.objective.metric=[fid,secnds]", "Did you mean 'seconds'"),
        ("sweep.sampler.name=tep", "Did you mean 'tpe'"),
    ],
)
def test_mistake_in_the_search_is_told_before_anything_is_written(
    tmp_path: Path, word: str, said: str
) -> None:
    (tmp_path / "own" / "sweep").mkdir(parents=True)
    (tmp_path / "own" / "sweep" / "mini.yaml").write_text(SWEEP)
    where = ["--config-dir", str(tmp_path / "own"), f"runs_dir={tmp_path / 'runs'}", "name=s"]
    with pytest.raises(UserError, match=said):
        run_sweep(["sweep=mini", *where, word], compose=sweep_fakes.compose)
    assert not (tmp_path / "runs").exists()
