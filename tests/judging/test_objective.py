"""The objective of a sweep: the score by its name, its direction, several at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf
from rich.console import Console
from sweep_studies import (
    ONE,
    TWO,
    begin,
    finish,
    make,
    pruner,
    record_scores,
    run_grid,
    sampler,
    settings,
)

from gansweep.cli.sweep_table import EventLines, LiveTable
from gansweep.data.toy import Ring
from gansweep.engine.confirm import front, winners
from gansweep.engine.study import SweepStudy
from gansweep.engine.watch import Watch
from gansweep.errors import UserError
from gansweep.judging.objective import (
    Objective,
    direction_of_runs,
    refuse_reversed,
    refuse_unmeasured,
)
from gansweep.metrics.choice import choose_scores
from gansweep.metrics.panel import MEASURES
from gansweep.metrics.protocol import CHOSEN_BY, OF_POINTS, ON_REQUEST, QUICK
from gansweep.records.record import RunRecord
from gansweep.search.check_search import with_direction
from gansweep.search.trials import trials_of


def test_objective_finds_its_score_by_protocol_or_name() -> None:
    protocols = {"fid_x_2k": {"score": "fid"}, "kid_x_2k": {"score": "kid"}}
    names = dict.fromkeys([*protocols, "kimg"])

    def found(metric: str, direction: str = "auto") -> str | None:
        words = {"metric": metric, "direction": direction, "at": "last"}
        return Objective.parse(words).find(names, protocols)

    assert found("auto") == "fid_x_2k"
    assert found("kid") == found("kid_x_2k") == "kid_x_2k"
    assert found("is") is None
    auto = Objective.parse({"metric": "auto", "direction": "auto", "at": "last"})
    assert auto.find(names, protocols, default="kid_x_2k") == "kid_x_2k"
    assert auto.find({"reverse_kl_2k": 1}, {"reverse_kl_2k": {"score": "reverse_kl"}}) is not None


def test_a_list_is_no_value_to_optimise() -> None:
    words = {"metric": "mode_counts", "direction": "minimize", "at": "last"}
    result = {
        "last": {"mode_counts_1k": {"value": [3, 0, 7], "kimg": 1.0}},
        "protocols": {"mode_counts_1k": {"score": "mode_counts"}},
    }
    assert Objective.parse(words).read(result) is None


def test_objective_knows_the_better_end() -> None:
    def direction(metric: str) -> str:
        words = {"metric": metric, "direction": "auto", "at": "last"}
        return Objective.parse(words).direction

    assert direction("auto") == direction("fid_50k_train") == "minimize"
    assert direction("modes") == direction("high_quality_2k") == "maximize"
    with pytest.raises(UserError, match="Did you mean 'fid'"):
        direction("fidd")


def test_the_direction_of_the_worst_value_is_refused() -> None:
    for metric, worst in (("fid_50k_train", "maximize"), ("modes", "minimize")):
        words = {"metric": metric, "direction": worst, "at": "last"}
        with pytest.raises(UserError, match=f"direction={worst} looks for the worst {metric}"):
            refuse_reversed(Objective.parse(words))
    for metric in ("auto", "mine"):
        for direction in ("minimize", "maximize"):
            refuse_reversed(Objective(metric, direction, "last"))


def test_direction_of_auto_is_that_of_what_the_runs_are_judged_by(tmp_path: Path) -> None:
    assert direction_of_runs(None, ["is"]) == "maximize"
    assert direction_of_runs(None, ["is", "kid", "modes"]) == "minimize"
    assert direction_of_runs(None, None) == direction_of_runs([], ["modes"]) == "auto"
    assert direction_of_runs(["psnr"], ["fid"]) == "maximize"
    study = make(tmp_path / "s", n_trials=1)
    finish(study, direction="maximize")
    (trial,) = study.trials.trials
    assert trial.state == optuna.trial.TrialState.FAIL
    assert "fid_x is to be maximized, and this sweep minimizes" in trial.user_attrs["reason"]


def test_direction_of_auto_among_several_is_that_of_the_models_score() -> None:
    base = {"model": {"judged_by": ["psnr"]}, "metrics": {"scores": None}}
    several = {"metric": ["auto", "seconds"], "direction": "auto", "at": "last"}
    found = with_direction(several, OmegaConf.create(base))
    assert [o.direction for o in Objective.parse_all(found)] == ["maximize", "minimize"]


def test_cost_is_read_from_the_result_and_averaged_over_seeds(tmp_path: Path) -> None:
    objective = {**ONE, "metric": ["seconds", "fid"]}
    study = make(tmp_path / "s", n_trials=1, seeds=2, objective=objective)
    attempt = begin(study)
    for run, seconds in zip(attempt.runs, (10.0, 30.0), strict=True):
        record_scores(study, run.name, seconds=seconds, fid=4.0)
    study.finish(attempt, "itself")
    assert study.trials.trials[0].values == [20.0, 4.0]
    words = {"metric": "images_per_second", "direction": "auto", "at": "last"}
    assert Objective.parse(words).direction == "maximize"
    assert Objective.parse(words).read({"images_per_second": None}) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"pruner": pruner("wilcoxon"), "seeds": 4}, "Use sweep.seeds=5 or more"),
        ({"pruner": pruner("asha"), "objective": TWO}, "2 objectives. Use sweep.pruner.name=none"),
        (
            {"pruner": pruner("median"), "objective": {**ONE, "metric": "seconds"}},
            "'seconds' is known at their end",
        ),
        ({"objective": {**TWO, "at": "best"}}, "no one network has these values. Use at=last"),
        ({"objective": {**ONE, "metric": ["fid", "fid"]}}, "names a score twice"),
        ({"objective": {**ONE, "metric": "second"}}, "Did you mean 'seconds'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(words: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        settings(**words)


def test_metric_that_runs_do_not_measure_is_refused_with_the_fix() -> None:
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


@pytest.mark.parametrize("scores", [None, "all", ["fid"]])
def test_scores_of_images_are_refused_on_points(scores: Any) -> None:
    metrics = {"scores": scores}
    for metric in ("fid", "kid", "fid_inception_10k_train", "coverage"):
        with pytest.raises(UserError, match="these data are points. Use auto.*modes"):
            refuse_unmeasured("sweep.objective.metric", metric, metrics, of_points=True)
    if scores != ["fid"]:
        refuse_unmeasured("sweep.objective.metric", "reverse_kl", metrics, of_points=True)
    refuse_unmeasured("sweep.objective.metric", "auto", metrics, of_points=True)
    with pytest.raises(UserError, match=r"scores=\[modes,fifty_fifty\]"):
        refuse_unmeasured("sweep.objective.metric", "fifty_fifty", {}, of_points=True)


def test_words_of_points_are_those_that_fit_them() -> None:
    assert choose_scores("all", (), Ring(), None, True, "test") == OF_POINTS


def test_words_of_the_scores_are_those_that_the_panel_measures() -> None:
    assert {*QUICK, *ON_REQUEST} == {word for m in MEASURES for word in m.choices}
    for word, chosen in CHOSEN_BY.items():
        assert any(chosen in m.choices and word in m.words for m in MEASURES)


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
    run_grid(study, POINTS)
    return study


def test_pareto_front_wins_the_best_first_score_first(tmp_path: Path) -> None:
    study = two_objectives(tmp_path / "s")
    assert [d.name for d in study.trials.directions] == ["MINIMIZE", "MAXIMIZE"]
    trials = trials_of(study.trials)
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


def test_a_table_shows_the_first_of_several_scores_of_one_word(tmp_path: Path) -> None:
    study = make(tmp_path / "s", objective=ONE)
    begin(study)
    record = RunRecord.create(study.run_dir("t0000"), "a: 1\n")
    names = [f"fid_{number}" for number in range(20)]
    record.append({"kimg": 1.0, "protocol": {name: {"score": "fid"} for name in names}})
    record.append({"kimg": 1.0, **dict.fromkeys(names, 2.0)})
    assert [row.score for row in Watch(study).rows()] == ["fid_0"]


def test_views_show_the_best_first_score_and_the_size_of_the_front(tmp_path: Path) -> None:
    study = two_objectives(tmp_path / "s")
    console = Console(width=100, height=40, record=True)
    console.print(LiveTable(Watch(study), 1, console).render())
    shown = console.export_text()
    assert "4 on the Pareto front" in shown
    assert "best 1 (t000" in shown
    lines = EventLines(Watch(study), 1)
    lines.update()
