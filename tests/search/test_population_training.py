"""A population of real GANs: what is copied, what a changed setting changes, what stays exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from states import same

from gansweep import compose, train
from gansweep.callbacks.checkpoint import read_checkpoint
from gansweep.cli.sweep_run import run_sweep
from gansweep.engine.study import SweepStudy
from gansweep.records.record import RunRecord, Source

RATE = "model.optimizer.generator.lr"
TINY = ["model=gan", "data=ring", "model.batch_size=50", "metrics.n_fake=100", "tracker=none"]
TINY += [f"model.points.{player}.width=8" for player in ("generator", "discriminator")]
DECAY = ["+model.lr_schedule._target_=gansweep.terms.schedules.linear_decay"]
DECAY += ["+model.lr_schedule._partial_=true"]


def part(run_dir: Path, until_kimg: float | None, *words: str, **more: Any) -> dict[str, Any]:
    cfg = compose([*TINY, "budget_kimg=0.6", "callbacks.quality.every_kimg=0.2", *words])
    return train(cfg, run_dir=run_dir, until_kimg=until_kimg, progress=False, **more)


def last(run_dir: Path) -> dict[str, Any]:
    return read_checkpoint(run_dir / "checkpoints" / "last.pt")


def rates(checkpoint: dict[str, Any]) -> dict[str, float]:
    optimizers = checkpoint["game"]["optimizers"]
    return {name: state["param_groups"][0]["lr"] for name, state in optimizers.items()}


def test_run_in_parts_equals_one_that_does_not_pause(tmp_path: Path) -> None:
    """With what looks at the whole budget, and what averages over it."""
    words = [*DECAY, "model.ema_kimg=0.1", "callbacks.losses.every_steps=1"]
    whole = part(tmp_path / "whole", None, *words)
    reported = [part(tmp_path / "parts", until, *words) for until in (0.2, 0.33, None)]
    assert [(one["status"], one["kimg"]) for one in reported] == [
        *(("paused", 0.2), ("paused", 0.35)),  # at the end of a batch
        ("finished", 0.6),
    ]
    same(last(tmp_path / "parts")["game"], last(tmp_path / "whole")["game"])
    same(last(tmp_path / "parts")["rng"], last(tmp_path / "whole")["rng"])
    name = whole["objective"]
    assert name is not None
    assert reported[1]["last"][name]["kimg"] == 0.35, "scored where it pauses"
    curves = [
        [(r["kimg"], r["loss/generator"]) for r in RunRecord(d).history() if "loss/generator" in r]
        for d in (tmp_path / "parts", tmp_path / "whole")
    ]
    assert curves[0] == curves[1] and len(curves[0]) == 12


def test_run_goes_on_from_anothers_checkpoint_with_settings_of_its_own(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    part(mine, 0.2, f"{RATE}=1e-4")
    part(theirs, 0.2, f"{RATE}=1e-3")
    best = json.loads((mine / "result.json").read_text())["best"]
    source = Source("theirs", theirs / "checkpoints" / "last.pt")
    # it is where it shall pause already: what is written is what was taken over
    for _ in range(2):  # killed after it, who takes over does it again
        part(mine, 0.2, f"{RATE}=2e-3", source=source)
    same(last(mine)["game"], last(theirs)["game"])
    same(last(mine)["rng"], last(theirs)["rng"])
    assert json.loads((mine / "result.json").read_text())["best"] == best, "its own"
    (row,) = [row for row in RunRecord(mine).history() if "weights_from" in row]
    assert (row["kimg"], row["weights_from"]) == (0.2, "theirs")
    part(mine, 0.4, f"{RATE}=2e-3")
    assert rates(last(mine)) == {"generator": 2e-3, "discriminator": 2e-3}
    moments = last(mine)["game"]["optimizers"]["generator"]["state"][0]
    assert moments["step"] == 8, "Adam goes on where it was"
    clocks = [row["kimg"] for row in RunRecord(mine).history()]
    assert clocks == sorted(clocks) and clocks[-1] == 0.4
    part(theirs, 0.4, f"{RATE}=2e-3")
    same(last(mine)["game"], last(theirs)["game"])


def test_changed_rate_holds_under_a_schedule_too(tmp_path: Path) -> None:
    part(tmp_path, 0.3, f"{RATE}=1e-3", *DECAY)
    part(tmp_path, 0.4, f"{RATE}=4e-3", *DECAY)
    # of the last step, which began at 0.35 of 0.6 kimg
    assert rates(last(tmp_path))["generator"] == pytest.approx(4e-3 * (1 - 0.35 / 0.6))


def test_average_can_be_switched_off_and_on(tmp_path: Path) -> None:
    part(tmp_path, 0.2, "model.ema_kimg=0.1")
    assert last(tmp_path)["game"]["averages"]
    part(tmp_path, 0.4)
    assert not last(tmp_path)["game"]["averages"]
    part(tmp_path, 0.5, "model.ema_kimg=0.1")
    assert last(tmp_path)["game"]["averages"]


def test_member_without_a_checkpoint_is_replaced(tmp_path: Path) -> None:
    """It failed before it saved anything, but after it had reported a score."""
    part(tmp_path / "theirs", 0.2)
    record = RunRecord.create(tmp_path / "mine", "")
    record.append({"kimg": 0.15, "seconds": 1.0, "loss/generator": 1.0})
    record.append({"kimg": 0.3, "seconds": 2.0, "loss/generator": 9.0})
    source = Source("theirs", tmp_path / "theirs" / "checkpoints" / "last.pt")
    part(tmp_path / "mine", None, source=source)
    rows = record.history()
    assert [row["kimg"] for row in rows[:2]] == [0.15, 0.2]
    assert rows[1]["weights_from"] == "theirs"
    assert all(row.get("loss/generator") != 9.0 for row in rows)
    assert any("protocol" in row for row in rows), "reported again: these rows are its own"


@pytest.mark.slow
def test_population_of_gans_is_trained_and_its_winner_confirmed(tmp_path: Path) -> None:
    words = [*TINY, "budget_kimg=0.4", "callbacks.quality.every_kimg=0.2", "workers=1"]
    words += ["sweep=pbt", f"{RATE}=interval(1e-3, 1e-2)", "sweep.population.share=0.5"]
    words += ["model.optimizer.discriminator.lr=1e-3", "sweep.population.every_kimg=0.2"]
    words += ["n_trials=2", "sweep.confirm.seeds=1", "name=s", f"runs_dir={tmp_path}"]
    # points near no mode are all alike to the scores of modes
    words += ["data.sigma=0.5", "data.radius=0.1", "sweep.confirm.top=2"]
    study = SweepStudy(run_sweep(words))
    results = {m: RunRecord(study.run_dir(m)).result() or {} for m in ("t0000", "t0001")}
    for member, result in results.items():
        assert result["status"] == "finished"
        assert bool(result["command"]) == (len(result["sweep"]["schedule"]) == 1)
        assert bool(result["command"]) != bool(result["no_command"])
        assert rates(last(study.run_dir(member)))["generator"] == result["sweep"]["params"][RATE]
        schedule = result["sweep"]["schedule"]
        taken = [row for row in RunRecord(study.run_dir(member)).history() if "weights_from" in row]
        assert [e["from"] for e in schedule if e["from"]] == [r["weights_from"] for r in taken]
        assert [e["kimg"] for e in schedule if e["from"]] == [r["kimg"] for r in taken]
    assert any(e["from"] for r in results.values() for e in r["sweep"]["schedule"])

    confirmed = max(study.confirmations(), key=lambda c: len(c.runs))
    assert len(confirmed.runs) > 1
    replayed = tmp_path / "replayed"
    kept = ("data", "model", "metrics", "tracker", "budget", "callbacks")
    fixed = [w for w in words if w.startswith(kept) and "interval" not in w]
    for planned in confirmed.runs:
        cfg = compose([*fixed, *planned.overrides])
        train(cfg, run_dir=replayed, until_kimg=planned.until_kimg, progress=False)
    same(last(study.run_dir(confirmed.name))["game"], last(replayed)["game"])
