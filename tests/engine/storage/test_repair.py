"""`gansweep repair`: whatever line of a study is damaged, no trial is lost, none is run twice."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sweep_fakes
from sweep_studies import ONE, make, pruner, sampler

from gansweep.cli.main import main
from gansweep.engine.attempt import Attempt
from gansweep.engine.leaderboard import write_leaderboard
from gansweep.engine.lease.workers import WorkerFile
from gansweep.engine.storage.repair import repair
from gansweep.engine.study import SweepStudy
from gansweep.engine.worker import Worker
from gansweep.errors import UserError
from gansweep.search.population import PlannedRun
from gansweep.search.settings import Settings
from gansweep.search.trials import trials_of

KILLED = "t0001"  # at its second score, once
Damaged = Callable[[list[bytes], int], list[bytes]]
DAMAGE: dict[str, Damaged] = {
    "garbage": lambda lines, at: [*lines[:at], b"\0" * 70 + b"\n", *lines[at + 1 :]],
    "cut": lambda lines, at: [*lines[:at], lines[at][: len(lines[at]) // 2]],
    "missing": lambda lines, at: [*lines[:at], *lines[at + 1 :]],
    "twice": lambda lines, at: [*lines[: at + 1], *lines[at:]],
    "torn together": lambda lines, at: [
        *lines[:at],
        lines[at][: len(lines[at]) // 2] + b"".join(lines[at + 1 : at + 2]),
        *lines[at + 2 :],
    ],
}


@pytest.fixture(autouse=True)
def trains_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers' trials run within the worker: no process is started."""

    def train(worker: Worker, attempt: Attempt, run: PlannedRun) -> tuple[str, str]:
        order, reported = worker._order(attempt, run), []

        def on_score(kimg: float, scores: dict[str, float]) -> bool:
            reported.append(kimg)
            if run.name == KILLED and attempt.number == 1 and len(reported) == 2:
                raise InterruptedError
            return worker.study.report(attempt, kimg, scores["fid_fake"])

        try:
            sweep_fakes.trial(
                order.overrides,
                config_dir=None,
                run_dir=Path(order.run_dir),
                on_score=on_score,
                sweep=order.sweep,
            )
        except InterruptedError:
            return "killed", "by SIGKILL"
        except SystemExit:  # of one that diverged
            pass
        return "itself", ""

    monkeypatch.setattr(Worker, "_train", train)
    monkeypatch.setattr("signal.signal", lambda *_: None)


def worked(directory: Path, most: int = 99) -> SweepStudy:
    """Work on a sweep until nothing is left, or on so many runs."""
    worker = Worker(directory, "w")
    worker.file = WorkerFile(directory, "w")
    for _ in range(most):
        attempt = worker.study.claim("w")
        if attempt is None:
            break
        worker._attempt(attempt)
    worker.file.leave()
    return worker.study


def swept(directory: Path, most: int = 99, **changes: Any) -> SweepStudy:
    """A sweep of a trial that diverges, one that is killed and one that is pruned among six, and of
    two runs that confirm the winner."""
    directory.mkdir(parents=True)
    (directory.parent / "does").write_text(json.dumps({"t0002": "diverge"}))
    chosen: dict[str, Any] = {
        "n_trials": 6,
        "budget_kimg": float(sweep_fakes.STEPS),
        "overrides": ["does=told"],
        "sampler": sampler("tpe", startup=2),
        "pruner": pruner("asha", warmup_fraction=0.2),
        "objective": ONE,
        "confirm": {"top": 1, "per": "config", "seeds": 2},
        "enqueue": [{"source": "given", "params": {"lr": 1.5}}],
    }
    make(directory, **{**chosen, **changes})
    return worked(directory, most)


def state(study: SweepStudy, ended: bool = False) -> dict[str, Any]:
    """What the study says of every trial, and how often each run was started and ended.

    ended: leave the others out.
    """
    reported = {
        t.user_attrs["key"]: (t.state.name, t.user_attrs.get("status"), t.params, t.values)
        for of in (study.trials, study.confirms)
        for t in trials_of(of)
        if t.state.is_finished() or not ended
    }
    marks = {
        str(path.relative_to(study.directory)): path.read_text()
        for name in ("starts", "ends")
        for path in sorted(study.directory.glob(f"*/{name}"))
    }
    return {"reported": reported, "runs": marks}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[bytes]]]:
    """A sweep that ended, and its journal."""
    with pytest.MonkeyPatch.context() as patch:
        trains_here.__wrapped__(patch)  # type: ignore[attr-defined]
        study = swept(tmp_path_factory.mktemp("whole") / "s")
        write_leaderboard(study)
    yield study.directory, (study.directory / "study.journal").read_bytes().splitlines(True)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
def test_journal_damaged_at_any_line_is_repaired_and_the_sweep_ends_as_it_did(
    whole: tuple[Path, list[bytes]], damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, lines = whole
    settings = Settings.load(directory)
    monkeypatch.setattr(Settings, "load", lambda _: settings)  # most of the time goes into YAML
    monkeypatch.setattr(Settings, "save", lambda *_: None)
    journal = directory / "study.journal"
    journal.write_bytes(b"".join(lines))
    study = SweepStudy(directory)
    expected, winners = state(study), (directory / "leaderboard.json").read_bytes()
    ends = [status for _, status, *_ in expected["reported"].values()]
    assert {"finished", "pruned", "diverged"} == set(ends) and len(ends) == 8
    assert any(t.user_attrs["attempt"] == 2 for t in study.trials.trials)
    every = 1 if damage in ("garbage", "missing") else 4
    for at in range(0, len(lines), every):
        content = b"".join(DAMAGE[damage](lines, at))
        journal.write_bytes(content)
        said = repair(directory)
        study = worked(directory)
        assert state(study) == expected, (at, said, lines[at])
        write_leaderboard(study)
        assert (directory / "leaderboard.json").read_bytes() == winners, at
        for backup in directory.glob("*.damaged-*"):
            assert backup.read_bytes() == content
            assert str(backup) in said
            backup.unlink()
    assert repair(directory).startswith(f"The study of {directory} is whole. Nothing")


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": 2, "pruner": pruner("none")},
        {"sampler": sampler("grid"), "space": {"lr": "1.5,1.6,1.7,1.8,1.9,2"}, "enqueue": []},
        {"pruner": pruner("hyperband"), "sampler": sampler("cmaes")},
    ],
    ids=["seeds", "grid", "hyperband"],
)
def test_sweep_that_lost_its_study_at_work_goes_on_as_it_was(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    """With a trial that was interrupted: it goes on from its checkpoint."""
    directory = tmp_path / "s"
    study = swept(directory, most=5, **changes)
    before, ended_before = state(study), state(study, ended=True)
    (directory / "study.journal").unlink()
    said = repair(directory)
    after = state(SweepStudy(directory), ended=True)
    assert after == ended_before
    assert f"{len(after['reported'])} trials" in said
    study = worked(directory)
    ended = state(study)
    assert study.finished()
    assert len(trials_of(study.trials)) == 6
    assert ended["reported"].items() >= after["reported"].items()
    assert all(ended["runs"][path].startswith(text) for path, text in before["runs"].items())
    assert all(text.count("\n") == 1 for path, text in ended["runs"].items() if "ends" in path)


def test_workers_take_what_the_study_lacks_from_the_records_without_any_repair(
    tmp_path: Path,
) -> None:
    """As after a power cut, of which nobody hears."""
    directory = tmp_path / "s"
    study = swept(directory)
    expected, journal = state(study), directory / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    for kept in range(len(lines) - 1, 10, -7):
        journal.write_bytes(b"".join(lines[:kept]))
        assert state(worked(directory)) == expected, kept


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"param_value_internal":1.', '"param_value_internal":1.7', "has other parameters"),
        ('"state":1,"values":[1.', '"state":1,"values":[9.', "has another value"),
        ('"state":1,"values":[1.', '"state":3,"values":[1.', "cannot both be finished and fail"),
        ('\\"high\\": 2', '\\"high\\": 3', "range before|not those of the space"),
        ('"datetime_complete":"20', '"datetime_complete":"2x', "no line before it has made"),
        ('"op_code":6', '"op_code":66', "no operation that a study knows"),
        ('"key":"t0003"', '"key":"t0013"', "t0013 is out of turn"),
        ("interval(1.0,2.0)", "interval(1.0,2.1)", "another search than sweep.yaml"),
    ],
)
def test_line_that_can_be_read_and_is_not_true_is_found(
    whole: tuple[Path, list[bytes]], before: str, after: str, said: str
) -> None:
    directory, lines = whole
    journal, text = directory / "study.journal", b"".join(lines).decode()
    journal.write_text(text)
    expected = state(SweepStudy(directory))
    first, last = text.rsplit(before, 1)
    journal.write_text(first + after + last)
    assert re.search(said, repair(directory))
    assert state(worked(directory)) == expected


@pytest.mark.slow
def test_database_that_is_damaged_is_made_anew_from_the_records(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    confirm = {"top": 1, "per": "config", "seeds": 1}
    expected = state(swept(directory, storage="sqlite", n_trials=2, confirm=confirm))
    database = directory / "study.db"
    assert repair(directory).startswith(f"The study of {directory} is whole. Nothing")
    content = database.read_bytes()
    damaged = content[:4096] + b"\x5a" * 8192 + content[12288:]
    for end in ("-wal", "-shm"):
        (directory / f"study.db{end}").unlink(missing_ok=True)
    database.write_bytes(damaged)
    said = repair(directory)
    assert "study.db.damaged-1" in said
    assert (directory / "study.db.damaged-1").read_bytes() == damaged
    assert state(worked(directory)) == expected


def test_repair_that_is_killed_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "s"
    expected = state(swept(directory, n_trials=3))
    journal = directory / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(DAMAGE["garbage"](lines, 12)))
    finish, finished = SweepStudy.finish, []

    def killed(self: SweepStudy, attempt: Attempt, *said: str) -> str:
        if len(finished) == 1:
            attempt.lease.release()
            raise KeyboardInterrupt
        finished.append(attempt.key)
        return finish(self, attempt, *said)

    with monkeypatch.context() as patch:
        patch.setattr(SweepStudy, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            repair(directory)
    assert "Restored" in repair(directory)
    assert state(worked(directory)) == expected


def test_journal_is_not_repaired_under_the_hands_of_its_workers(tmp_path: Path) -> None:
    directory = swept(tmp_path / "s", most=1).directory
    file = WorkerFile(directory, "w7")
    with pytest.raises(UserError, match=r"1 worker of the sweep .*`gansweep cancel"):
        repair(directory)
    file.leave()
    repair(directory)


@pytest.mark.parametrize("line", [3, 40])
def test_error_of_a_damaged_journal_names_the_command_that_repairs_it(
    tmp_path: Path, line: int, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = swept(tmp_path / "s").directory
    journal = directory / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(DAMAGE["garbage"](lines, line - 1)))
    with pytest.raises(UserError) as refusal:
        SweepStudy(directory)
    assert f"Line {line} of {journal} was damaged" in str(refusal.value)
    assert str(refusal.value).count("on the disk") == 1
    command = re.search(r"`gansweep (.*?)`", str(refusal.value))
    assert command is not None
    assert main(shlex.split(command[1])) == 0
    said = capsys.readouterr().out
    assert f"study.journal is cut before line {line} of {len(lines)}: it cannot be read." in said
    assert "Restored from the records" in said
    assert SweepStudy(directory).finished()


def test_study_on_a_server_is_left_to_the_server(tmp_path: Path) -> None:
    directory = swept(tmp_path / "s", most=0, storage="sqlite").directory
    text = (directory / "sweep.yaml").read_text()
    (directory / "sweep.yaml").write_text(text.replace("storage: sqlite", "storage: grpc://h:1"))
    with pytest.raises(UserError, match="restore it with their tools"):
        repair(directory)
    with pytest.raises(UserError, match="holds no sweep"):
        repair(tmp_path)


def test_help_of_repair(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["repair", "--help"])
    assert not ended.value.code
    assert "gansweep repair runs/demo-digits" in capsys.readouterr().out
    assert main(["repair"]) == 2
    assert "repair" in capsys.readouterr().err
