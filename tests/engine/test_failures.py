"""Kinds of failed trials, bugs that stop a sweep, and workers that die again and again."""

from __future__ import annotations

import errno
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import sweep_fakes
from sweep_processes import UNCONFIRMED, made, one_worker_here, words_of_a_sweep
from sweep_processes import sweep as run_to_its_end

from gansweep.engine import worker
from gansweep.engine.failures import (
    LAST_LINES,
    LINE_CHARACTERS,
    STOPPED,
    Failure,
    all_alike,
    end_of,
    oom_kills,
    signal_of,
)
from gansweep.engine.study import SweepStudy
from gansweep.engine.worker import Worker
from gansweep.errors import UserError
from gansweep.judging.statuses import BUG, KILLED, MISTAKE, OUT_OF_MEMORY
from gansweep.records.record import RunRecord
from gansweep.search.trials import trials_of

pytestmark = pytest.mark.usefixtures("importable_fakes")


def words_for(folder: Path, does: dict[str, str], *more: str) -> list[str]:
    """The words of the sweep FOLDER/runs/s, whose trials behave as asked."""
    (folder / "runs").mkdir(exist_ok=True)
    (folder / "runs" / "does").write_text(json.dumps(does))
    return words_of_a_sweep(folder, "does=told", "n_trials=5", "workers=1", UNCONFIRMED, *more)


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[..., Path]:
    """`sweep({"t0000": "raise", "*": ""}, *words)`: run the sweep FOLDER/runs/s, or continue it."""
    return lambda does, *more: run_to_its_end(words_for(tmp_path, does, *more))


def attrs(directory: Path) -> dict[str, dict[str, Any]]:
    """key -> what the study keeps of its last attempt."""
    return {t.user_attrs["key"]: t.user_attrs for t in trials_of(SweepStudy(directory).trials)}


def result(directory: Path, key: str) -> dict[str, Any]:
    found = RunRecord(directory / key).result()
    assert found is not None
    return found


def raised(call: Callable[[], object]) -> Exception:
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def throw(error: BaseException, cause: BaseException | None = None) -> None:
    raise error from cause


@pytest.mark.parametrize(
    ("error", "cause", "kind"),
    [
        (sweep_fakes.OutOfMemoryError("Tried to allocate 2.00 GiB"), None, OUT_OF_MEMORY),
        (RuntimeError("CUDA error: out of memory"), None, OUT_OF_MEMORY),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), None, OUT_OF_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), None, OUT_OF_MEMORY),
        (MemoryError(), None, OUT_OF_MEMORY),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), None, OUT_OF_MEMORY),
        (RuntimeError("in Networks"), MemoryError(), OUT_OF_MEMORY),
        (UserError("batch_size=3 is odd. Use 4."), KeyError("x"), MISTAKE),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None, BUG),
        (KeyError("out of memory"), None, BUG),
    ],
)
def test_each_exception_has_its_kind(
    error: Exception, cause: Exception | None, kind: str, tmp_path: Path
) -> None:
    failure = Failure.of(raised(lambda: throw(error, cause)), tmp_path)
    assert failure.kind == kind
    assert bool(failure.alike) == (kind != OUT_OF_MEMORY), "more memory is not everybody's need"


def test_bugs_are_alike_by_type_and_place_of_our_code(tmp_path: Path) -> None:
    def of(call: Callable[[], object]) -> str:
        return Failure.of(raised(call), tmp_path).alike

    first, second = (of(lambda word=word: json.loads(word)) for word in ("{", "[[["))
    assert first == second, "another text, from the depths of the library"
    assert first.startswith(f"JSONDecodeError at {__file__}:")
    assert of(lambda: json.loads("{")) != first, "another line"
    assert of(lambda: throw(ValueError("a"))) != of(lambda: throw(TypeError("a")))
    inner, outer = KeyError("a"), RuntimeError("b")
    assert of(lambda: throw(outer, inner)).startswith("KeyError"), "what it was raised from counts"


def test_mistakes_are_alike_whatever_the_trial_is_called(tmp_path: Path) -> None:
    texts = {
        Failure.of(UserError(f"{folder} wants a label."), folder).alike
        for folder in (tmp_path / "t0000", tmp_path / "t0001")
    }
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("group", "file", "text", "many"),
    [
        ("0::/job_7", "job_7/memory.events", "low 0\noom 4\noom_kill 3\n", 3),
        ("0::/job_7", "memory.events", "oom 1\noom_kill 1\n", 1),  # a container's own top
        (
            "0::/\n4:cpu,memory:/job_7",
            "memory/job_7/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
            2,
        ),
        ("0::/job_7", "elsewhere/memory.events", "oom_kill 5\n", 0),
    ],
)
def test_kills_for_want_of_memory_are_counted_in_either_kind_of_group(
    tmp_path: Path, group: str, file: str, text: str, many: int
) -> None:
    (tmp_path / "cgroup").write_text(group + "\n")
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    assert oom_kills(tmp_path, tmp_path) == many


def test_end_of_a_log_is_bounded(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert end_of(log) == []
    log.write_bytes(b"first\n" + b"\xff" + b"x" * 10**6 + b"\n\n" + b"last\n\n")
    long, last = end_of(log, 2)
    assert last == "last" and len(long) == LINE_CHARACTERS
    log.write_text("\n".join(map(str, range(1000))))
    assert end_of(log) == [str(i) for i in range(1000 - LAST_LINES, 1000)]


def ended(*alike: str | None) -> list[optuna.trial.FrozenTrial]:
    """Trials that ended one after the other; None: well."""
    study = optuna.create_study()
    for i, word in enumerate(alike):
        trial = study.ask()
        trial.set_user_attr("key", f"t{i}")
        if word is not None:
            trial.set_user_attr("alike", word)
        failed = optuna.trial.TrialState.FAIL
        study.tell(trial, *([1.0] if word is None else []), state=None if word is None else failed)
    return study.trials


@pytest.mark.parametrize(
    ("alike", "many", "found"),
    [
        (["a", "a", "a"], 3, 3),
        (["a", "a", "a", "a"], 3, 4),
        (["a", "a", "a", "b"], 3, 0),
        (["a", "a", "a", None], 3, 0),
        (["a", "a"], 3, 0),
        ([None, "a", "a", "a"], 3, 0),
        (["a", None, "a", "a"], 3, 0),
        (["a", "b", "a"], 3, 0),
        (["", "", ""], 3, 0),  # out of memory: another trial may need less
        (["a"], 1, 1),
        (["a", "a", "a"], 0, 0),
    ],
)
def test_first_trials_are_alike_where_all_failed_by_one_bug(
    alike: list[str | None], many: int, found: int
) -> None:
    assert len(all_alike(ended(*alike), many)) == found


@pytest.mark.slow
def test_bug_of_the_first_trials_stops_the_sweep_until_it_is_corrected(
    sweep: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError) as stopped:
        sweep({"t0001": "slow", "*": "raise t0001"}, "n_trials=8", "workers=2")
    text = str(stopped.value)
    assert "its first 3 trials failed alike. t0000 ended with" in text
    assert "sweep_fakes.py" in text and "RuntimeError: out of ideas" in text
    assert "give the same command again" in text and len(text.splitlines()) < 25
    directory = tmp_path / "runs" / "s"
    assert str(directory / "t0000" / "log.txt") in text
    before = attrs(directory)
    assert [before[k]["failure"] for k in ("t0000", "t0002", "t0003")] == [BUG] * 3
    assert result(directory, "t0001")["status"] == "interrupted", "saved, not killed"
    assert len(before) <= 5, "the budget is not burnt"
    assert result(directory, "t0000")["failed_at"].startswith("RuntimeError at")
    logs = [(directory / "workers" / f"w{i}.log").read_text() for i in (0, 1)]
    assert all("the sweep was stopped" in log for log in logs)
    sweep({}, "n_trials=8", "workers=2")
    after = attrs(directory)
    assert {a["status"] for a in after.values()} == {"finished"} and len(after) == 8
    assert all(after[k]["attempt"] == 2 for k in ("t0000", "t0001", "t0002", "t0003"))
    assert "failure" not in result(directory, "t0000")
    assert not (directory / "t0000" / "traceback.txt").exists()
    assert not (directory / STOPPED).exists()


@pytest.mark.slow
def test_mistake_of_all_trials_is_reported_without_a_traceback(
    sweep: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="wants another batch_size. Use batch_size=8") as stopped:
        sweep({"*": "mistake"})
    assert "Traceback" not in str(stopped.value) and "File " not in str(stopped.value)
    assert attrs(tmp_path / "runs" / "s")["t0000"]["failure"] == MISTAKE


@pytest.mark.slow
def test_bug_of_some_trials_costs_only_these(sweep: Callable[..., Path]) -> None:
    with one_worker_here():
        directory = sweep({"t0000": "", "*": "raise"})
    found = attrs(directory)
    assert [found[f"t000{i}"].get("failure") for i in range(5)] == [None, *[BUG] * 4]
    assert "RuntimeError: out of ideas" in (directory / "t0001" / "traceback.txt").read_text()


@pytest.mark.slow
def test_sweep_runs_all_trials_if_asked(
    sweep: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with one_worker_here():
        directory = sweep({"*": "raise"}, "sweep.stop_after_alike=0", "sweep.confirm.top=1")
    assert len(attrs(directory)) == 5
    assert "No trial has a usable result (5 bug)" in capsys.readouterr().out
    with pytest.raises(UserError, match="stop_after_alike=-1 is not a whole number from 0"):
        sweep({}, "sweep.stop_after_alike=-1")


@pytest.mark.slow
def test_want_of_memory_is_tried_again_only_beside_a_neighbour(
    sweep: Callable[..., Path],
) -> None:
    out_of_memory = {"*": "out_of_memory"}
    with one_worker_here():
        alone = sweep(out_of_memory, "n_trials=3")
        beside = sweep(out_of_memory, "name=b", "n_trials=1", "launcher.slots_per_gpu=2")
    assert [a["attempt"] for a in attrs(alone).values()] == [1, 1, 1]
    assert [a["attempt"] for a in attrs(beside).values()] == [3]
    for found in (attrs(alone)["t0000"], attrs(beside)["t0000"], result(beside, "t0000")):
        assert found["status"] == "failed" and found["failure"] == OUT_OF_MEMORY
        assert found["reason"] == "OutOfMemoryError: Tried to allocate 20.00 GiB"


@pytest.mark.slow
def test_full_disk_stops_the_sweep_and_costs_no_trial(
    sweep: Callable[..., Path], tmp_path: Path
) -> None:
    directory = tmp_path / "runs" / "s"
    with pytest.raises(UserError, match="No space is left on the disk of .* the sweep continues"):
        sweep({"t0000": "slow", "*": "full_disk"}, "n_trials=3", "workers=2")
    assert result(directory, "t0000")["status"] == "interrupted", "saved, not killed"
    assert len(attrs(directory)) == 2
    found = attrs(sweep({}, "n_trials=3", "workers=2"))
    assert [(a["status"], a["kills"]) for a in found.values()] == [("finished", 0)] * 3


@pytest.mark.parametrize(("exit_code", "name"), [(-9, "SIGKILL"), (-40, "signal 40")])
def test_signal_for_real_time_has_no_name(exit_code: int, name: str) -> None:
    assert signal_of(exit_code) == name


@pytest.mark.parametrize(
    ("does", "killed_for_memory", "kind", "reason"),
    [
        ("kill", False, KILLED, "killed 1 times; the last time by SIGKILL"),
        ("kill", True, OUT_OF_MEMORY, "for want of host memory"),
        ("segfault", False, BUG, "by SIGSEGV"),
    ],
)
def test_trial_killed_too_often_keeps_the_end_of_its_log(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    does: str,
    killed_for_memory: bool,
    kind: str,
    reason: str,
) -> None:
    directory = made(words_for(tmp_path, {"*": does}, "n_trials=1", "sweep.max_retries=0"))
    counts = iter(range(0, 100, int(killed_for_memory) or 100))
    monkeypatch.setattr(worker, "oom_kills", lambda: next(counts, 0))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert Worker(directory, "w").run() == 0
    (found,) = attrs(directory).values()
    kept = result(directory, "t0000")
    assert found["failure"] == kept["failure"] == kind
    assert reason in kept["reason"] and found["reason"] == kept["reason"]
    if does == "kill":
        assert kept["log_tail"] == [f"line {i}" for i in range(100 - LAST_LINES, 100)]
    else:
        tail = "\n".join(kept["log_tail"])
        assert "Fatal Python error: Segmentation fault" in tail and "sweep_fakes.py" in tail
