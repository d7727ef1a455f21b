"""The sweep with real training: every part of the engine once, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from processes import Processes, said_by

from gansweep.cli.sweep_options import settings_of, split
from gansweep.cli.sweep_run import run_sweep
from gansweep.config.compose import compose, conf_dir
from gansweep.engine.failures import Failure
from gansweep.engine.study import SweepStudy
from gansweep.judging.statuses import OUT_OF_MEMORY
from gansweep.records.record import RunRecord
from gansweep.search.entries import OWN, own_space
from gansweep.search.space import Space

SWEEPS = sorted(p.stem for p in (conf_dir() / "sweep").glob("*.yaml"))


@pytest.mark.parametrize("name", SWEEPS)
def test_every_sweep_that_is_shipped_fits_the_configuration(name: str) -> None:
    cfg = compose([f"sweep={name}"], config_name="sweep")
    if cfg.sweep.space == OWN:
        models = {"model": "dcgan,wgan_gp"}
        cfg.sweep.space = models | own_space(models, compose)
    space = Space.parse(dict(cfg.sweep.space))
    space.check(lambda overrides: compose([*cfg.sweep.overrides, *overrides]))
    if cfg.sweep.sampler.name == "grid":
        assert len(space.grid()) >= 12


@pytest.mark.parametrize("model", ["gan", "dcgan", "wgan_gp", "cgan", "acgan", "sgan"])
def test_the_papers_settings_are_tried_first_where_a_preset_says_so(model: str) -> None:
    words = ["sweep=tpe", f"model={model}"]
    own, given = split(words)
    cfg = compose(own, config_name="sweep")
    settings, _, remarks = settings_of(cfg, words, given, compose)
    assert [point["source"] for point in settings.enqueue] == ["defaults"] and not remarks


@pytest.mark.slow
def test_two_gans_are_trained_compared_and_confirmed(tmp_path: Path) -> None:
    words = [
        "model=gan",
        "data=ring",
        "model.optimizer.generator.lr=choice(1e-4, 1e-3)",
        "sweep.sampler.name=grid",
        "n_trials=null",
        "sweep.confirm.top=1",
        "sweep.confirm.seeds=1",
        "model.batch_size=100",
        "budget_kimg=1",
        "callbacks.quality.every_kimg=0.5",
        "metrics.n_fake=500",  # too few to say that so young a run has learned nothing
        "tracker=none",
        "workers=1",
        "name=ring",
        f"runs_dir={tmp_path}",
    ]
    directory = run_sweep(words)
    study = SweepStudy(directory)
    assert study.finished()
    for trial in study.trials.trials:
        assert list(trial.intermediate_values) == [500, 1000]
        result = RunRecord(directory / trial.user_attrs["key"]).result()
        assert result is not None
        assert result["status"] == "finished"
        assert result["sweep"]["params"]["model.optimizer.generator.lr"] in (1e-4, 1e-3)
        read = study.objective.read(result)
        assert read is not None and trial.value == read[1]
    (row,) = json.loads((directory / "leaderboard.json").read_text())["rows"]
    assert row["model"] == "gan"
    assert row["score"].startswith("reverse_kl")
    confirmed = RunRecord(directory / row["runs"][0]).result()
    assert confirmed is not None
    assert confirmed["seed"] == 101
    assert confirmed["protocols"][row["score"]]["noise_seed"] == 101


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_want_of_memory_in_pytorch_is_no_bug(device: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**46, dtype=torch.uint8, device=device)
    assert Failure.of(caught.value, Path("run")).kind == OUT_OF_MEMORY
    named = torch.OutOfMemoryError("CUDA ran out of it")
    assert Failure.of(named, Path("run")).kind == OUT_OF_MEMORY


@pytest.mark.slow
def test_server_of_trials_ends_at_once(processes: Processes) -> None:
    """A trial dies with it, so that none runs on for seconds after its worker was killed: nothing
    of what it has imported is torn down."""
    code = "import atexit; atexit.register(print, 'torn down'); import gansweep.engine.warm_up"
    server = processes.forked("-c", code)
    assert (*said_by(server), server.returncode) == ("", "", 0)
