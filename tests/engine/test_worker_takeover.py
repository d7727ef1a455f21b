"""Trials that change hands, and winners that change: nothing is reported twice or stuck."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from processes import Processes, said_by, wait_until
from report_records import write_run
from sweep_fakes import HELD_AT
from sweep_processes import (
    FORKED,
    UNCONFIRMED,
    held,
    lines,
    made,
    pid_of,
    steps_at_start,
    wait_until_held,
    words_of_a_sweep,
)
from sweep_studies import begin, finish, make, record, sampler

from gansweep.engine.attempt import Attempt
from gansweep.engine.lease import locks, workers
from gansweep.engine.lease.locks import Lease
from gansweep.engine.lease.workers import LAUNCHER_FILE, launching, refuse_second
from gansweep.engine.study import SweepStudy
from gansweep.engine.worker import Worker
from gansweep.errors import UserError
from gansweep.records.record import RunRecord
from gansweep.search.population import PlannedRun
from gansweep.search.trials import trials_of


def drain(study: SweepStudy, value: float = 1.0) -> list[str]:
    """Finish everything that is to be claimed; the keys in their order."""
    keys = []
    while (attempt := study.claim("me")) is not None:
        study.suggest(attempt)
        record(study, attempt.key, "finished", value)
        study.finish(attempt, "itself")
        keys.append(attempt.key)
    return keys


def test_confirmations_of_who_wins_no_longer_do_not_stop_the_sweep(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=2, confirm={"top": 1, "per": "config", "seeds": 2})
    finish(study, value=3.0)
    finish(study, value=2.0)
    under_way = begin(study)  # t0001 is to be confirmed
    assert under_way.key == "c-t0001-s101"
    study.finish(under_way, "interrupted")
    more = make(tmp_path / "s", n_trials=3, confirm={"top": 1, "per": "config", "seeds": 2})
    assert finish(more, value=1.0) == "t0002"
    keys = drain(more)
    assert more.finished()
    assert {"c-t0002-s101", "c-t0002-s102"} <= set(keys)
    assert "c-t0001-s102" not in keys  # not begun, and of no winner


def test_fewer_confirmations_than_planned(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=2, confirm={"top": 2, "per": "config", "seeds": 3})
    finish(study, value=3.0)
    finish(study, value=2.0)
    study.finish(begin(study), "interrupted")
    fewer = make(tmp_path / "s", n_trials=2, confirm={"top": 1, "per": "config", "seeds": 1})
    drain(fewer)
    assert fewer.finished()
    assert all(t.state.is_finished() for t in trials_of(fewer.confirms))


def test_attempt_whose_successor_was_queued_before_its_worker_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the two words of one settlement: the trial is reported once all the same."""
    study = make(tmp_path / "s", n_trials=1, confirm={"top": 0, "per": "config", "seeds": 1})
    first = begin(study)

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(first.study), "tell", die)
        with pytest.raises(KeyboardInterrupt):
            study.finish(first, "interrupted")
    first.lease.release()
    second = begin(study)
    assert second.number == 2
    record(study, second.key, "finished", 1.0)
    study.finish(second, "itself")
    assert study.claim("me") is None
    reported = [t.state for t in study.trials.trials]
    assert reported == [TrialState.FAIL, TrialState.COMPLETE]


@pytest.mark.parametrize("name", ["tpe", "gp", "random"])
def test_dead_trial_is_finished_before_another_is_drawn(tmp_path: Path, name: str) -> None:
    """A sampler keeps away from what runs: from the best point too, where a worker died on it."""
    study = make(tmp_path / "s", max_retries=0, sampler=sampler(name), stop_after_alike=0)
    begin(study).lease.release()
    drawn: list[list[TrialState]] = []

    class Watching(optuna.samplers.RandomSampler):
        def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
            drawn.append([t.state for t in study.trials])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gansweep.engine.attempt.make_sampler", lambda *_: Watching())
        assert begin(study).key == "t0001"
    assert drawn == [[TrialState.FAIL, TrialState.RUNNING]]


def test_child_of_a_worker_that_was_taken_for_dead_ends_though_it_reports_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = made(words_of_a_sweep(tmp_path, "sweep.seeds=2", "n_trials=1", UNCONFIRMED))
    held(tmp_path, "t0000-s1")
    monkeypatch.setattr(locks, "TOUCH_SECONDS", 0.05)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    worker = Worker(directory, "w")
    train, others = worker._train, []

    def taken_over(attempt: Attempt) -> None:
        wait_until_held(directory, "t0000-s1")
        other = SweepStudy(directory)
        theirs = Lease(attempt.lease.path, "another")
        other.finish(replace(attempt, lease=theirs, study=other.trials), "killed")

    def watched(attempt: Attempt, run: PlannedRun) -> tuple[str, str]:
        if run.name.endswith("s1") and attempt.number == 1:
            others.append(threading.Thread(target=taken_over, args=(attempt,)))
            others[0].start()
        return train(attempt, run)

    monkeypatch.setattr(worker, "_train", watched)
    assert worker.run() == 0
    others[0].join()
    assert steps_at_start(directory, "t0000-s1") == [0, HELD_AT]
    assert lines(directory / "t0000-s1" / "ends") == ["finished"]


def test_lease_is_touched_again_after_the_file_system_was_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "TOUCH_SECONDS", 0.01)
    away = threading.Event()
    touch = os.utime

    def utime(path: Path, times: tuple[int, int] | None = None) -> None:
        if times is None and not away.is_set():
            away.set()
            raise OSError(errno.ESTALE, "Stale file handle")
        touch(path, times)

    monkeypatch.setattr(os, "utime", utime)
    lease = Lease(tmp_path / "leases" / "trials-0", "w0")
    wait_until(away.is_set)
    touch(lease.path, (0, 0))
    wait_until(lambda: time.time() - lease.path.stat().st_mtime < 60)
    lease.release()


@pytest.mark.usefixtures("importable_fakes")
def test_killed_server_of_the_children_costs_no_trial(tmp_path: Path, processes: Processes) -> None:
    words = words_of_a_sweep(tmp_path, "n_trials=2", "workers=1", UNCONFIRMED)
    held(tmp_path, "t0000")
    sweep = processes.forked(*FORKED, *words)
    directory = tmp_path / "runs" / "s"
    wait_until_held(directory, "t0000")
    child = pid_of(directory, "t0000")
    server = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(server, signal.SIGKILL)
    said = said_by(sweep)
    assert sweep.returncode == 0, said
    assert steps_at_start(directory, "t0000") == [0, HELD_AT]
    assert lines(directory / "t0001" / "ends") == ["finished"]


def test_confirmation_with_a_larger_sample_ends_well_where_the_objective_is_a_full_name(
    tmp_path: Path,
) -> None:
    study = make(
        tmp_path / "s",
        n_trials=1,
        objective={"metric": "fid_5", "direction": "minimize", "at": "last"},
        confirm={"top": 1, "per": "config", "seeds": 1, "n_fake": 50},
    )
    for n_fake in (5, 50):
        attempt = begin(study)
        last = {f"fid_{n_fake}": {"value": 1.0, "kimg": 10.0}}
        protocols = {f"fid_{n_fake}": {"score": "fid", "n_fake": n_fake}}
        RunRecord.create(study.run_dir(attempt.key), "a: 1\n").write_result(
            {"status": "finished", "last": last, "protocols": protocols}
        )
        assert study.finish(attempt, "itself") == "finished"


def test_commands_in_a_refusal_can_be_pasted(tmp_path: Path) -> None:
    directory = tmp_path / "my runs" / "s"
    (directory / "workers").mkdir(parents=True)
    with launching(directory), pytest.raises(UserError) as refused:
        refuse_second(directory)
    commands = [shlex.split(words) for words in str(refused.value).split("`")[1::2]]
    assert commands == [["gansweep", v, str(directory)] for v in ("status", "worker", "cancel")]


def test_pod_waits_for_the_end_of_one_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a killed launcher on another node, whose lease is not touched any more."""
    (tmp_path / "workers").mkdir()
    monkeypatch.setattr(locks, "TOUCH_SECONDS", 3600)
    with launching(tmp_path):
        monkeypatch.setattr(locks, "kernel_id", lambda: "another host's")
        with pytest.raises(UserError, match="at work already"):
            refuse_second(tmp_path)
        monkeypatch.setenv(workers.JOB, "1a")
        old = (0, 0)
        monkeypatch.setattr(time, "sleep", lambda _: os.utime(tmp_path / LAUNCHER_FILE, old))
        refuse_second(tmp_path)


def test_pod_is_refused_beside_one_that_does_not_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "workers").mkdir()
    monkeypatch.setenv(workers.JOB, "1a")
    monkeypatch.setattr(workers, "FORMER_SECONDS", 0.0)
    with launching(tmp_path), pytest.raises(UserError, match="at work already"):
        refuse_second(tmp_path)


@pytest.mark.parametrize("exit_code", [0, -signal.SIGTERM])
@pytest.mark.parametrize(("asked", "ended"), [(True, "interrupted"), (False, "killed")])
def test_a_signal_to_the_job_that_reaches_the_child_first_is_no_kill_of_the_trial(
    asked: bool, ended: str, exit_code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SLURM signals the processes of a preempted job one after the other."""
    worker = Worker(made(words_of_a_sweep(tmp_path, "n_trials=1", UNCONFIRMED)), "w")
    run = write_run(tmp_path / "runs" / "s" / "t0000", status="interrupted").directory
    monkeypatch.setattr("gansweep.engine.worker.SIGNAL_SECONDS", 5.0 if asked else 0.1)
    later = threading.Timer(0.2, lambda: setattr(worker, "stops", 1))
    if asked:
        later.start()
    assert worker._how_it_ended(exit_code, run, out_of_memory=False)[0] == ended
