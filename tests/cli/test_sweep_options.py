"""What `gansweep sweep` reads from its command line, and refuses before it writes anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_processes import (
    assert_refused,
    made,
    sweep,
    words_of_a_sweep,
)

from gansweep.engine.study import SweepStudy


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    return words_of_a_sweep(tmp_path)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["n_trial=3"], "Did you mean 'n_trials'"),
        (["lrr=3"], "no option 'lrr'"),
        (["weigth=choice(1, 2)"], "'weigth: choice"),
        (["n_trials=0"], "n_trials=0 is not a whole number from 1"),
        (["workers=none"], "a whole number from 1 to 4,096 or auto"),
        (["sweep.sampler.name=tpee"], "Did you mean 'tpe'"),
        (["sweep.sampler.name=grid"], "infinitely many"),
        (["sweep.confirm.seeds=0"], "a whole number from 1"),
        (["sweep.confirm.per=modl"], "Did you mean 'model'"),
        (["+sweep.prunner.name=asha"], "Did you mean 'sweep.pruner'|Did you mean 'pruner'"),
        (["pace"], "KEY=VALUE"),
        (["--confg-dir=x"], "Did you mean '--config-dir'"),
    ],
)
def test_mistake_on_the_command_line_writes_nothing(
    words: list[str], more: list[str], message: str
) -> None:
    assert_refused([*words, *more], message)


def test_command_line_can_name_the_space(words: list[str]) -> None:
    options = ["model=gan", "lr=choice(1, 2)", "sweep.sampler.name=grid", "n_trials=null"]
    study = SweepStudy(made([*words, *options]))
    assert study.settings.space == {"model": "gan", "lr": "choice(1, 2)"}
    assert study.n_trials == 2


def test_cfg_prints_the_composed_sweep_and_writes_nothing(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        sweep([*words, "--cfg", "job"])
    assert "lr: interval(1, 2)" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_objective_follows_what_the_trials_measure(words: list[str]) -> None:
    directory = made([*words, "metrics.scores=is"])
    assert SweepStudy(directory).objective.direction == "maximize"


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
def test_mistake_in_the_search_is_reported_before_anything_is_written(
    words: list[str], word: str, said: str
) -> None:
    assert_refused([*words, "n_trials=2", word], said)
