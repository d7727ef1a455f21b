"""A sweep begun with a mistake in its fixed options: what failed is set aside, never deleted."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from sweep_processes import made, sweep, words_of_a_sweep
from sweep_studies import begin, finish, make, record

from gansweep.engine.lease.workers import WorkerFile
from gansweep.engine.status import status_of
from gansweep.engine.study import SweepStudy
from gansweep.errors import UserError
from gansweep.records.record import RunRecord

pytestmark = pytest.mark.usefixtures("importable_fakes")


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["journal", "sqlite", "shared"])
def test_corrected_option_begins_anew_where_all_trials_failed_by_it(
    tmp_path: Path, storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = f"sqlite:///{tmp_path / 'studies.db'}" if storage == "shared" else storage
    words = [*words_of_a_sweep(tmp_path), f"storage={place}"]
    with pytest.raises(UserError, match="Use batch_size=8"):
        sweep([*words, "does=mistake", "trainer.threads=2"])
    directory = sweep([*words, "trainer.threads=1"])
    aside = directory.with_name("s-set-aside-1")
    assert f"set aside in {aside}" in capsys.readouterr().out
    assert status_of(directory).trials == {"done": 4}
    assert status_of(directory).state == "finished"
    failed = status_of(aside)
    assert failed.state == "stopped" and failed.failures["mistake"] >= 3
    assert "does=mistake" in (aside / "t0000" / "given").read_text()
    assert (RunRecord(aside / "t0000").result() or {})["failure"] == "mistake"
    assert "does" not in (directory / "t0000" / "given").read_text()
    continued = shlex.split(next(iter(failed.next)))
    assert made(continued[2:]) == aside


def failing(directory: Path, **changes: Any) -> SweepStudy:
    """A sweep whose first trial has failed."""
    study = make(directory, **{"overrides": ["wrong=1"], **changes})
    finish(study, "failed", None)
    return study


def again(directory: Path, **changes: Any) -> SweepStudy:
    return make(directory, **{"overrides": ["right=1"], **changes})


def test_interrupted_trials_are_set_aside_unless_they_can_go_on(tmp_path: Path) -> None:
    study = make(tmp_path / "s", overrides=["wrong=1"])
    attempt = begin(study)
    record(study, attempt.key, "interrupted", None)
    study.finish(attempt, "interrupted")
    checkpoint = study.run_dir("t0000") / "checkpoints" / "last.pt"
    checkpoint.touch()
    with pytest.raises(UserError, match="t0000 has a checkpoint to continue from"):
        again(tmp_path / "s")
    checkpoint.unlink()
    assert again(tmp_path / "s").trials.trials == []
    old = SweepStudy(tmp_path / "s-set-aside-1")
    assert [t.user_attrs["attempt"] for t in old.trials.trials] == [1, 2]
    assert (old.run_dir("t0000") / "result.json").exists()


@pytest.mark.parametrize("status", ["finished", "pruned", "diverged"])
def test_sweep_of_which_a_trial_finished_stays(tmp_path: Path, status: str) -> None:
    study = failing(tmp_path / "s")
    finish(study, status, 1.0 if status == "finished" else None)
    with pytest.raises(UserError, match="do not belong into one study. Start a new one with name"):
        again(tmp_path / "s")
    assert len(study.trials.trials) == 2 and not (tmp_path / "s-set-aside-1").exists()


def test_sweep_with_another_space_stays(tmp_path: Path) -> None:
    failing(tmp_path / "s")
    with pytest.raises(UserError, match="Only its fixed options may change"):
        again(tmp_path / "s", space={"model": "choice(gan, wgan)", "lr": "interval(2, 3)"})


def test_workers_that_are_still_at_it_are_to_be_stopped_first(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    study = failing(directory)
    worker = WorkerFile(directory, "w0")
    with pytest.raises(UserError, match="still at it: after `gansweep cancel"):
        again(directory)
    worker.leave()
    attempt = begin(study)  # by the child of a worker that was killed, say
    with pytest.raises(UserError, match="still at it: after `gansweep cancel"):
        again(directory)
    attempt.lease.release()
    assert again(directory).trials.trials == []


def test_what_was_set_aside_half_is_set_aside_whole_by_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(tmp_path / "s")

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("optuna.delete_study", die)
        again(tmp_path / "s")
    assert again(tmp_path / "s").trials.trials == []
    assert (tmp_path / "s-set-aside-1" / "t0000" / "result.json").exists()
    assert len(SweepStudy(tmp_path / "s-set-aside-2").trials.trials) == 1


def test_name_that_a_shared_storage_still_knows_is_not_given_again(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'studies.db'}"
    failing(tmp_path / "s", storage=storage)
    failing(tmp_path / "s", storage=storage, overrides=["wrong=2"])
    shutil.rmtree(tmp_path / "s-set-aside-1")  # not its study
    again(tmp_path / "s", storage=storage)
    assert len(SweepStudy(tmp_path / "s-set-aside-2").trials.trials) == 1


def test_search_that_never_began_gives_way_to_one_with_more_objectives(tmp_path: Path) -> None:
    make(tmp_path / "s")
    two = {"metric": ["fid", "seconds"], "direction": "minimize", "at": "last"}
    study = make(tmp_path / "s", objective=two)
    assert len(study.trials.directions) == len(study.confirms.directions) == 2


def test_confirmations_of_another_number_of_samples_are_not_mixed(tmp_path: Path) -> None:
    few = {"top": 1, "per": "config", "seeds": 2, "n_fake": 50}
    study = make(tmp_path / "s", confirm=few)
    finish(study)
    make(tmp_path / "s", confirm={**few, "n_fake": 60})  # none is confirmed yet
    make(tmp_path / "s", confirm=few)
    record(study, "c-t0000-s101", "finished", 1.0)
    with pytest.raises(UserError, match=r"Give sweep\.confirm\.n_fake=50, or.*name=.*-2"):
        make(tmp_path / "s", confirm={**few, "n_fake": None})
    make(tmp_path / "s", confirm={**few, "seeds": 3})
