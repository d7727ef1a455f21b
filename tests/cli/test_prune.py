"""`gansweep prune`: what may go, what never goes."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sweep_studies
from command_line import Finished
from report_records import FID, PROTOCOLS, part_of_sweep, write_run

from gansweep.errors import UserError
from gansweep.records.record import RunRecord

Command = Callable[..., Finished]
CHECKPOINT = b"x" * 40_000


def saved(record: RunRecord) -> RunRecord:
    record.last.write_bytes(CHECKPOINT)
    record.best.write_bytes(CHECKPOINT)
    return record


def trial(folder: Path, key: str, status: str, value: float, **more: Any) -> RunRecord:
    role = "confirm" if key.startswith("c-") else "trial"
    number = int(key.removeprefix("c-")[1:5])
    part = part_of_sweep(key, {"model.n_critic": number}, role=role, at="last")
    return saved(write_run(folder / key, status=status, scores={FID: [value]}, sweep=part, **more))


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep that is over: its study says so, and its runs have checkpoints."""
    folder = tmp_path / "runs" / "demo"
    study = sweep_studies.make(folder, n_trials=5, confirm=sweep_studies.NO_CONFIRMATION)
    for status in ("finished", "finished", "pruned", "diverged", "failed"):
        sweep_studies.finish(study, status)
    for key, status, value in [
        ("t0000", "finished", 30.0),
        ("t0001", "finished", 20.0),
        ("t0002", "pruned", 90.0),
        ("t0003", "diverged", 900.0),
        ("t0004", "failed", 5.0),
    ]:
        trial(folder, key, status, value)
    return folder


def kept(folder: Path) -> list[str]:
    return sorted(p.parents[1].name for p in folder.glob("*/checkpoints/last.pt"))


def test_of_a_finished_sweep_the_leader_stays(finished: Path, command: Command) -> None:
    before = {p: p.read_bytes() for p in finished.rglob("*") if p.is_file() and p.suffix != ".pt"}
    shown = command("prune", "runs", "--dry-run")
    assert shown.code == 0 and len(kept(finished)) == 5
    rows = [line.split() for line in shown.out.splitlines()]
    assert rows[1:5] == [
        ["pruned", "1", "81.9", "kB"],
        ["failed", "2", "163.8", "kB"],
        ["losing", "1", "81.9", "kB"],
        ["in", "all", "4", "327.7", "kB"],
    ]
    assert ["runs/demo/t0000", "losing", "81.9", "kB"] in rows
    done = command("prune", "runs", "--yes")
    assert done.out.endswith("Freed 327.7 kB of 4 runs.\n")
    assert kept(finished) == ["t0001"]
    for path, content in before.items():
        assert path.name == ".writer" or path.read_bytes() == content, path
    assert command("prune", "runs").out == "There is nothing to remove.\n"


def test_of_a_sweep_by_a_cost_its_own_leader_stays(tmp_path: Path, command: Command) -> None:
    folder = tmp_path / "runs" / "quick"
    study = sweep_studies.make(folder, n_trials=2, confirm=sweep_studies.NO_CONFIRMATION)
    for key, fid, seconds in (("t0000", 10.0, 100.0), ("t0001", 30.0, 10.0)):
        assert sweep_studies.finish(study, "finished") == key
        part = part_of_sweep(key, {"model.n_critic": seconds}, at="last")
        part["objective"] = {"metric": "seconds", "direction": "minimize", "at": "last"}
        saved(write_run(folder / key, scores={FID: [fid]}, sweep=part, seconds=seconds))
    command("prune", "runs", "--yes")
    assert kept(folder) == ["t0001"]


def test_of_a_finished_table_only_what_has_failed_goes(tmp_path: Path, command: Command) -> None:
    folder = tmp_path / "runs" / "table"
    keys = ("t0000", "t0001", "t0002")
    study = sweep_studies.make(
        folder,
        n_trials=3,
        confirm=sweep_studies.NO_CONFIRMATION,
        points=[{"key": key, "params": {"row": key}, "overrides": [], "note": {}} for key in keys],
    )
    for key, status, value in zip(keys, ("finished", "finished", "failed"), (9, 2, 5), strict=True):
        assert sweep_studies.finish(study, status) == key
        trial(folder, key, status, value)
    done = command("prune", "runs", "--yes")
    assert "its runs were listed one by one, so none of them loses" in done.out
    assert kept(folder) == ["t0000", "t0001"]


def test_confirmations_and_their_trial_stay(finished: Path, command: Command) -> None:
    trial(finished, "c-t0000-s101", "finished", 25.0, seed=101)
    command("prune", "runs", "--yes")
    assert kept(finished) == ["c-t0000-s101", "t0000"]  # which leads by its fresh seed


@pytest.mark.parametrize("status", ["collapsed", "diverged", "pruned", "failed"])
def test_confirmations_stay_however_they_ended(
    status: str, finished: Path, command: Command
) -> None:
    trial(finished, "c-t0001-s101", status, 25.0, seed=101)
    command("prune", "runs", "--yes")
    assert "c-t0001-s101" in kept(finished)


def test_of_a_sweep_that_goes_on_only_what_has_ended_badly_goes(
    tmp_path: Path, command: Command
) -> None:
    folder = tmp_path / "runs" / "demo"
    sweep_studies.make(folder, n_trials=9)
    trial(folder, "t0000", "finished", 30.0)
    trial(folder, "t0001", "finished", 20.0)
    trial(folder, "t0002", "pruned", 90.0)
    trial(folder, "t0003", "collapsed", 90.0)
    for key, status in [("t0004", "failed"), ("t0005", "interrupted"), ("t0006", "running")]:
        trial(folder, key, status, 50.0)
    done = command("prune", "runs/demo", "-y")
    assert "not finished, so the checkpoints of its other trials stay" in done.out
    assert kept(folder) == ["t0000", "t0001", "t0004", "t0005", "t0006"]


def test_an_unfinished_population_keeps_everything(tmp_path: Path, command: Command) -> None:
    folder = tmp_path / "runs" / "pbt"
    (folder / "t0000").mkdir(parents=True)
    (folder / "sweep.yaml").write_text("n_trials: not a number\n")  # damaged: nothing is known
    trial(folder, "t0000", "pruned", 30.0)
    done = command("prune", "runs", "--yes")
    assert "every checkpoint stays" in done.out and kept(folder) == ["t0000"]


PRECISION = "precision_digitsnet_2k_train"
STATIC = {FID: [62.0], PRECISION: [0.0], "in_no_mode_2k": [1.0]}
IN_NO_MODE = {**PROTOCOLS[FID], "score": "in_no_mode"}
OF_STATIC = {n: PROTOCOLS[n] for n in (FID, PRECISION)} | {"in_no_mode_2k": IN_NO_MODE}


def test_plain_runs_that_may_be_continued_stay(tmp_path: Path, command: Command) -> None:
    for status in ("finished", "failed", "interrupted", "running", "diverged", "collapsed"):
        saved(write_run(tmp_path / "runs" / "g" / status, status=status))
    # judged as never learned, perhaps only because its budget was small
    saved(write_run(tmp_path / "runs" / "g" / "short", scores=STATIC, protocols=OF_STATIC))
    assert "never learned" in command("ls", "runs/g/short").out
    saved(write_run(tmp_path / "runs" / "g" / "kept", status="diverged"))
    saved(write_run(tmp_path / "runs" / "g" / "tracked", status="diverged", tracked="a.py"))
    command("tag", "runs/g/kept", "keep")
    assert command("prune", "runs", "--yes").code == 0
    assert kept(tmp_path / "runs" / "g") == [
        *("failed", "finished", "interrupted", "kept", "running", "short", "tracked")
    ]


def test_a_run_that_is_written_stays(tmp_path: Path, command: Command) -> None:
    record = saved(write_run(tmp_path / "runs" / "g" / "r", status="diverged"))
    with record.claimed():
        assert command("prune", "runs", "--yes").out == "There is nothing to remove.\n"
    assert record.last.exists()


def test_a_run_with_whose_weights_another_begins_stays(
    tmp_path: Path, finished: Path, command: Command
) -> None:
    """Else what began with it cannot be trained again, and the next trials of a sweep fail."""
    init = {"run": "runs/demo/t0000", "checkpoint": "best.pt"}
    write_run(tmp_path / "runs" / "tuned" / "gan-001", init=init)
    assert command("prune", "runs", "--yes").code == 0
    assert kept(finished) == ["t0000", "t0001"]
    command("prune", "runs/demo", "--yes")
    assert kept(finished) == ["t0001"]


@pytest.mark.parametrize("name", ["runs/demo/t0000", "../demo/t0000", "t0000", "/old/demo/t0000/"])
def test_it_stays_wherever_it_was_named_from_and_wherever_it_lies_now(
    name: str,
    tmp_path: Path,
    finished: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_run(tmp_path / "runs" / "tuned" / "gan-001", init={"run": name, "checkpoint": "best.pt"})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    command("prune", str(tmp_path / "runs"), "--yes")
    assert kept(finished) == ["t0000", "t0001"]


def test_a_run_with_whose_weights_a_sweep_begins_stays(
    tmp_path: Path, finished: Path, command: Command
) -> None:
    other = tmp_path / "runs" / "more"
    sweep_studies.make(other, n_trials=5, overrides=["init=runs/demo/t0000@last"])
    trial(other, "t0000", "finished", 7.0)
    command("prune", "runs", "--yes")
    assert kept(finished) == ["t0000", "t0001"]


def test_it_stops_when_enough_is_free(finished: Path, command: Command) -> None:
    assert "Freed 81.9 kB of 1 run." in command("prune", "runs", "-y", "--free", "80kB").out
    assert kept(finished) == ["t0000", "t0001", "t0003", "t0004"]
    command("prune", "runs", "--free", "much").is_refused_with("--free much", "20GB")


@pytest.mark.parametrize(("answer", "left"), [("y", 1), ("", 5), ("no", 5)])
def test_it_asks(
    finished: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    left: int,
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert command("prune", "runs").code == 0
    assert len(kept(finished)) == left


def test_without_a_terminal_nobody_can_agree(
    finished: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    command("prune", "runs").is_refused_with("--yes")
    assert len(kept(finished)) == 5


def test_links_and_what_is_not_ours_stay(tmp_path: Path, command: Command) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "last.pt").write_bytes(CHECKPOINT)
    record = write_run(tmp_path / "runs" / "g" / "r", status="diverged")
    record.checkpoints.rmdir()
    record.checkpoints.symlink_to(theirs)
    other = write_run(tmp_path / "runs" / "g" / "s", status="diverged")
    other.last.symlink_to(theirs / "last.pt")
    assert command("prune", "runs", "--yes").out == "There is nothing to remove.\n"
    assert (theirs / "last.pt").exists()


def test_what_cannot_be_removed_is_named(
    finished: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "unlink", refuse)
    done = command("prune", "runs", "--yes")
    assert done.code == 1 and "Permission denied" in done.err and "of 0 runs" in done.out


def test_a_run_without_checkpoints_is_not_started_again(finished: Path, command: Command) -> None:
    from omegaconf import OmegaConf

    from gansweep.config.compose import compose
    from gansweep.run.resume import resumed

    record = trial(finished, "t0007", "diverged", 10.0)
    cfg = compose(["model=gan", "data=ring", "batch_size=8", f"resume={record.directory}"])
    record.config_path.write_text(OmegaConf.to_yaml(cfg))
    command("prune", str(record.directory), "--yes")
    with pytest.raises(UserError, match="cannot be continued"):
        resumed(cfg, [], None)
