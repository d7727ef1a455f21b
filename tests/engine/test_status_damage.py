"""Files of a sweep that were damaged, lost or taken, and words that name no directory."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest
from sweep_processes import made, sweep, words_of_a_sweep
from sweep_studies import begin, make

from gansweep.engine import worker
from gansweep.engine.storage.disk import writing
from gansweep.engine.storage.storage import JournalFile
from gansweep.engine.worker import run_worker
from gansweep.errors import UserError
from gansweep.records.record import RunRecord

pytestmark = pytest.mark.usefixtures("importable_fakes")

LOG = {"op_code": 0, "worker_id": "w", "study_name": "s"}


@pytest.mark.parametrize(
    "tail",
    [
        b'{"op_code": 3, "x',
        b"}",
        b"\0" * 4096,
        b"\0" * 100 + b"\n",
        b'{"x":"\xc3',
        b'{"x":"\xc3\n',
        b"\x9f\n\xb1{}\n\n5\n",
        b"\n",
    ],
    ids=["torn", "brace", "zeros", "zero line", "half", "half line", "garbage", "empty line"],
)
def test_damaged_tail_of_a_journal_is_not_read_and_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "study.journal"
    JournalFile(path).append_logs([LOG, LOG])
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    reader = JournalFile(path)
    assert list(reader.read_logs(0)) == [LOG, LOG]
    JournalFile(path).append_logs([{**LOG, "op_code": 1}])
    assert [log["op_code"] for log in reader.read_logs(2)] == [1]
    assert path.read_bytes().startswith(whole + b'{"op_code":1')


def test_tail_that_is_cut_off_while_it_is_read_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read in two pieces, it goes on where the line that stands in its place now has its middle."""
    path = tmp_path / "study.journal"
    JournalFile(path).append_logs([LOG, LOG])
    whole = path.read_bytes()
    reader, locked = JournalFile(path), []
    pieces = iter([whole[:-5] + b'n"}\n' + whole, whole])

    def unread() -> bytes:
        locked.append(reader.turns._depth > 0)
        return next(pieces)

    monkeypatch.setattr(reader, "_unread", unread)
    assert list(reader.read_logs(0)) == [LOG, LOG]
    assert locked == [False, True]


def test_journal_without_a_readable_line_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    path.write_bytes(b"\0" * 100)
    JournalFile(path).append_logs([LOG])
    assert list(JournalFile(path).read_logs(0)) == [LOG]


@pytest.mark.slow
def test_lost_study_takes_no_run_of_another_search(tmp_path: Path) -> None:
    words = [*words_of_a_sweep(tmp_path), "workers=1", "n_trials=1", "sweep.confirm.top=0"]
    directory = sweep(words)
    (directory / "study.journal").unlink()
    with pytest.raises(UserError, match=r"t0000 holds a run of another search.* Move it away"):
        sweep([*words, "lr=interval(5, 6)"])


@pytest.mark.parametrize(
    ("overrides", "again"),
    [
        (["a=1", "b=2"], True),
        (["a=1"], False),
        (["a=1", "b=3"], False),
        (["a=1", "b=2", "c=3"], False),
    ],
)
def test_lost_study_takes_no_run_with_other_options(
    tmp_path: Path, overrides: list[str], again: bool
) -> None:
    directory = tmp_path / "s"
    study = make(directory, overrides=["a=1", "b=2"])
    attempt = begin(study)
    (run,) = attempt.runs
    words = ["a=1", "b=2", *run.overrides, "trainer.threads=2", "group=s", "name=t0000"]
    entry = attempt.sweep_entry(study.settings, run, directory)
    written = {"status": "finished", "overrides": words, "sweep": entry}
    RunRecord.create(study.run_dir("t0000"), "").write_result(written)
    attempt.lease.release()
    (directory / "study.journal").unlink()
    study = make(directory, overrides=overrides)
    if again:
        assert begin(study).params == attempt.params
    else:
        with pytest.raises(UserError, match="t0000 holds a run of another search"):
            study.claim("me")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("name=..", "cannot be the name of a directory"),
        ("name=.", "cannot be the name of a directory"),
        ("name=", "cannot be the name of a directory"),
        ("name=a//b", "cannot be the name of a directory"),
        ("name=[a,b]", "name=[a,b] is not text"),
        ("name=true", "name=true is not text"),
        ("runs_dir=", "runs_dir= names no directory"),
        ("runs_dir=null", "runs_dir=null is not text"),
        ("runs_dir=[a,b]", "runs_dir=[a,b] is not text"),
        ("sweep.seeds=two", "sweep.seeds=two is not a whole number"),
        ("sweep.seeds=1.5", "sweep.seeds=1.5 is not a whole number"),
        ("sweep.max_retries=-1", "a whole number from 0 to 1,000. Use sweep.max_retries=0"),
        ("sweep.max_retries=null", "sweep.max_retries=null is not a whole number"),
        ("sweep.stop_after_alike=x", "sweep.stop_after_alike=x is not a whole number"),
        ("sweep.sampler.seed=x", "sweep.sampler.seed=x is not a whole number"),
        ("sweep.sampler.startup_trials=x", "is not a whole number"),
        ("sweep.pruner.startup_trials=x", "is not a whole number"),
        ("sweep.pruner.reduction_factor=x", "is not a whole number"),
        ("sweep.pruner.warmup_fraction=x", "not a number from 0 and below 1"),
        ("sweep.confirm.top=x", "is not a whole number"),
        ("sweep.confirm.top=-1", "sweep.confirm.top=-1 is not a whole number from 0"),
        ("sweep.confirm.seeds=1.5", "is not a whole number"),
        ("sweep.confirm.n_fake=0", "sweep.confirm.n_fake=0 is not a whole number from 1"),
        ("sweep.objective.metric=null", "sweep.objective.metric=null is not text"),
        ("sweep.objective.metric=[]", "names no score"),
        ("sweep.overrides=3", "sweep.overrides=3 is not a list"),
        ("~sweep.pruner", "Leave ~sweep.pruner out"),
        ("~sweep.pruner.name", "Leave ~sweep.pruner.name out"),
        ("launcher=null", "has a value that is not one of its files"),
    ],
)
def test_value_that_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, word: str, said: str
) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        made([*words_of_a_sweep(tmp_path), word])
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "content",
    ["", "name: [", "name: s", "\0\0\0"],
    ids=["empty", "torn", "part", "zeros"],
)
def test_damaged_settings_are_written_anew_by_the_same_command(
    tmp_path: Path, content: str
) -> None:
    words = words_of_a_sweep(tmp_path)
    directory = made(words)
    file = directory / "sweep.yaml"
    whole = file.read_text()
    file.write_text(content)
    for command in (lambda: made(words), lambda: run_worker(directory)):
        with pytest.raises(UserError, match="is damaged .* Move it away and give the command"):
            command()
    file.rename(tmp_path / "moved")
    made(words)
    assert file.read_text() == whole


def test_want_of_permission_or_space_is_reported_with_the_fix(tmp_path: Path) -> None:
    for number, fix in (
        (errno.EACCES, "Correct the permissions"),
        (errno.EDQUOT, "Free some space"),
    ):
        with (
            pytest.raises(UserError, match=f"log cannot be written .*{fix}, or wait"),
            writing(tmp_path, ", or wait."),
        ):
            raise OSError(number, os.strerror(number), "log")
    with pytest.raises(BrokenPipeError), writing(tmp_path, ", or wait."):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_worker_whose_file_is_refused_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = made(words_of_a_sweep(tmp_path))
    (directory / "workers" / "w0.alive").mkdir()
    with pytest.raises(UserError, match=r"w0.alive cannot be written .*the sweep continues"):
        run_worker(directory, "w0", 1)


def test_threads_of_nested_loops_are_no_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3,1")
    monkeypatch.setattr(worker.Worker, "run", lambda self: self.threads)
    assert run_worker(made(words_of_a_sweep(tmp_path))) == 3


@pytest.mark.parametrize(
    ("taken", "said"),
    [("study.journal", "Move that away"), ("study.journal.lock", "Move that away")],
)
def test_directory_in_place_of_a_file_is_named(tmp_path: Path, taken: str, said: str) -> None:
    (tmp_path / "runs" / "s" / taken).mkdir(parents=True)
    with pytest.raises(UserError, match=f"{taken} cannot be written .*{said}"):
        made(words_of_a_sweep(tmp_path))


def test_file_in_place_of_the_runs_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(UserError, match="Move away the file in the place of"):
        made(words_of_a_sweep(tmp_path))
    (tmp_path / "runs").rename(tmp_path / "moved")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "s").write_text("mine")
    with pytest.raises(UserError, match="Move away the file in the place of"):
        made(words_of_a_sweep(tmp_path))
    with pytest.raises(UserError, match="choose a shorter one"):
        made([*words_of_a_sweep(tmp_path / "b"), f"name={'n' * 300}"])
