"""Which worker computes on which GPU: names, locks that outlive their worker, shares, sweeps."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from places import TESTS
from processes import Processes, said_by, wait_until
from sweep_processes import (
    FORKED,
    UNCONFIRMED,
    assert_refused,
    sweep,
    words_of_a_sweep,
)

from gansweep.engine.lease.gpus import (
    Gpu,
    GpuShare,
    HeldGpus,
    holders_in_words,
    take_gpus,
    visible_gpus,
)
from gansweep.engine.lease.workers import workers_of
from gansweep.errors import UserError
from gansweep.records.record import RunRecord

A, B = "GPU-aaaa0000-1111", "GPU-bbbb0000-2222"
PART, OTHER_PART = "MIG-cccc0000-3333", "MIG-dddd0000-4444"
TWO = f"""\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: {A})
GPU 1: NVIDIA H100 80GB HBM3 (UUID: {B})
"""
DIVIDED = f"""\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: {A})
  MIG 3g.20gb     Device  0: (UUID: {PART})
  MIG 3g.20gb     Device  1: (UUID: {OTHER_PART})
GPU 1: NVIDIA A100-SXM4-40GB (UUID: {B})
"""
ONE = GpuShare()
TAKE = (
    "import sys, time; from pathlib import Path\n"
    "from gansweep.engine.lease.gpus import *\n"
    "slots, per_trial, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])\n"
    "share = GpuShare(slots, per_trial)\n"
    "while (held := take_gpus(visible_gpus(), share, Path('runs/s'))) is None: time.sleep(0.01)\n"
    "print(time.monotonic(), *held.names, flush=True)\n"
    "time.sleep(seconds)\n"
    "print(time.monotonic(), flush=True)\n"
)


HELD: list[HeldGpus] = []  # by this process


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Two GPUs and a directory of locks of our own; call it to have others."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()

    def has(listing: str) -> None:
        tool.write_text(f"#!/bin/sh\n[ \"$*\" = -L ] || exit 9\ncat <<'END'\n{listing}END\n")
        tool.chmod(0o755)

    has(TWO)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
    monkeypatch.setenv("GANSWEEP_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}{os.pathsep}{TESTS / 'support'}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield has
    while HELD:
        HELD.pop().release()


@pytest.fixture
def taker(processes: Processes) -> Callable[..., subprocess.Popen[str]]:
    """Starts a process that takes GPUs, says when and which, keeps them, and says when it ends."""

    def start(share: GpuShare = ONE, seconds: float = 600.0) -> subprocess.Popen[str]:
        return processes("-c", TAKE, str(share.slots), str(share.per_trial), str(seconds))

    return start


def names() -> list[str]:
    return [gpu.name for gpu in visible_gpus()]


def take(share: GpuShare = ONE) -> HeldGpus | None:
    held = take_gpus(visible_gpus(), share, Path("runs/mine"))
    HELD.extend([held] if held is not None else [])
    return held


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, [A, B]),
        ("", []),
        ("1", [B]),
        ("1,0", [B, A]),
        ("0,-1,1", [A]),  # CUDA reads up to the first name that it does not know
        ("7", []),
        ("GPU-bb", [B]),
        ("GPU-", []),  # of both
        ("NoDevFiles", []),  # SLURM's word for none
    ],
)
def test_visible_gpus_are_named_by_uuid(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, found: list[str]
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert names() == found


@pytest.mark.parametrize(
    ("visible", "found"),
    [(None, [PART, OTHER_PART, B]), ("0", [PART, OTHER_PART]), (OTHER_PART, [OTHER_PART])],
)
def test_divided_gpu_counts_as_its_parts(
    machine: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    visible: str | None,
    found: list[str],
) -> None:
    machine(DIVIDED)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert names() == found


def test_without_nvidia_smi_indices_are_believed_node_by_node(
    machine: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("")
    assert visible_gpus() == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    assert visible_gpus() == [Gpu("0", "n1-0"), Gpu("1", "n1-1")]


def test_gpu_is_taken_once_and_its_holder_is_named() -> None:
    first, second = take(), take()
    assert first is not None and second is not None
    assert first.names + second.names == [A, B]
    assert take() is None
    reported = holders_in_words(visible_gpus())
    assert f"{A} by process {os.getpid()} of {Path('runs/mine').resolve()}, {B} by" in reported
    first.release()
    again = take()
    assert again is not None and again.names == [A]


def test_shares_of_several_sizes_never_exceed_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    quarters = [take(GpuShare(slots=4)) for _ in range(2)]
    assert take() is None, "who needs it alone finds it shared"
    half = take(GpuShare(slots=2))
    assert half is not None
    assert take(GpuShare(slots=4)) is None, "1/4 + 1/4 + 1/2"
    half.release()
    assert take(GpuShare(slots=2)) is not None
    for held in quarters:
        assert held is not None
        held.release()
    assert take(ONE) is None


def test_shared_gpus_are_filled_evenly() -> None:
    held = [take(GpuShare(slots=3)) for _ in range(7)]
    assert [h.names[0] for h in held[:6] if h] == [A, B, A, B, A, B]
    assert held[6] is None


def test_several_gpus_are_taken_together_or_not_at_all() -> None:
    one = take()
    assert one is not None
    assert take(GpuShare(per_trial=2)) is None
    other = take()
    assert other is not None and other.names == [B], "the failed attempt kept none"
    one.release()
    other.release()
    both = take(GpuShare(per_trial=2))
    assert both is not None and both.names == [A, B]


@pytest.mark.parametrize(
    ("share", "at_once"), [(ONE, 2), (GpuShare(slots=2), 4), (GpuShare(per_trial=2), 1)]
)
def test_many_at_once_never_share_more_than_agreed(
    taker: Callable[..., subprocess.Popen[str]], share: GpuShare, at_once: int
) -> None:
    doomed = [taker(share) for _ in range(2)]
    others = [taker(share, seconds=0.15) for _ in range(6)]

    def spans_of(process: subprocess.Popen[str]) -> list[tuple[float, float, str]]:
        assert process.stdout is not None
        began, *gpus = process.stdout.readline().split()
        assert len(gpus) == share.per_trial
        last = process.stdout.readline() if process in others else str(time.monotonic())
        process.kill()
        return [(float(began), float(last), gpu) for gpu in gpus]

    with ThreadPoolExecutor(8) as readers:  # whichever takes its GPUs first is read first
        spans = [s for found in readers.map(spans_of, [*doomed, *others]) for s in found]
    for began, _, gpu in spans:
        busy = [g for b, e, g in spans if g == gpu and b <= began < e]
        assert len(busy) <= share.slots
    most = max(sum(b <= began < e for b, e, _ in spans) for began, _, _ in spans)
    assert most <= at_once * share.per_trial


def test_gpu_of_a_killed_process_is_free_at_once(
    taker: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    process = taker()
    assert process.stdout is not None
    assert process.stdout.readline().split()[1] == B
    assert take() is None
    process.kill()
    process.wait()
    assert take() is not None


def _compute(held: HeldGpus, pid_file: str) -> None:
    os.setsid()
    Path(pid_file).write_text(f"{os.getpid()} {','.join(held.names)}")
    time.sleep(600)


def _work(pid_file: str) -> None:
    """A worker that hands its GPU to a child which nothing ends with it."""
    context = multiprocessing.get_context("forkserver")
    context.Process(target=_compute, args=(take(), pid_file)).start()
    time.sleep(600)


@pytest.mark.slow
def test_lingering_child_of_a_killed_worker_keeps_the_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    pid_file = tmp_path / "pid"
    code = f"import test_gpus; test_gpus._work({str(pid_file)!r})"
    with subprocess.Popen([sys.executable, "-c", code]) as worker:
        text = wait_until(lambda: pid_file.exists() and pid_file.read_text())
        worker.kill()
    child, name = text.split()
    assert name == A
    assert Path(f"/proc/{child}").exists() and take() is None
    os.kill(int(child), signal.SIGKILL)
    wait_until(take)


def test_locks_are_shared_by_all_users_and_follow_no_link(tmp_path: Path) -> None:
    held = take()
    assert held is not None
    locks = tmp_path / "locks"
    assert stat.S_IMODE(locks.stat().st_mode) == 0o1777
    assert {stat.S_IMODE(f.stat().st_mode) for f in locks.iterdir()} == {0o666}
    held.release()
    precious = tmp_path / "precious"
    precious.write_text("mine")
    for link in (os.symlink, os.link):
        seat = locks / f"{A}.seat0"
        seat.unlink()
        link(precious, seat)
        with pytest.raises(UserError, match="Repair or remove that directory"):
            take()
    assert precious.read_text() == "mine"


def test_locks_that_cannot_be_kept_are_named_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANSWEEP_GPU_LOCKS", str(tmp_path / "no" / "locks"))
    with pytest.raises(UserError, match=r"no/locks.*No such file.*GANSWEEP_GPU_LOCKS"):
        take()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slots_per_gpu": 0}, "slots_per_gpu=0 is no positive"),
        ({"slots_per_gpu": 1.5}, "slots_per_gpu=1.5 is no positive"),
        ({"gpus_per_trial": "two"}, "gpus_per_trial=two is no positive"),
        ({"slots_per_gpu": 2, "gpus_per_trial": 2}, "Leave one of them at 1"),
        (
            {"gpus_per_trial": 3},
            r"has 2 .whole ones. for this sweep. Use launcher.gpus_per_trial=2",
        ),
    ],
)
def test_share_that_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        GpuShare.of(options).usable_gpus()


def test_parts_of_a_gpu_are_not_joined_for_one_trial(machine: Callable[[str], None]) -> None:
    machine(DIVIDED)
    assert len(ONE.usable_gpus()) == 3
    with pytest.raises(UserError, match="has 1 .whole ones."):
        GpuShare(per_trial=2).usable_gpus()


def test_share_follows_the_launcher() -> None:
    assert GpuShare.of({"name": "local", "slots_per_gpu": 4}) == GpuShare(4, 1)
    assert GpuShare.of({}) == ONE
    assert GpuShare.of({"name": "slurm", "gpus": "a100:2"}) == GpuShare(1, 2), "all of a job's"
    assert GpuShare.of({"name": "slurm", "gpus": None}) == ONE
    assert [GpuShare(slots=3).fits(2), GpuShare(per_trial=2).fits(5), ONE.fits(0)] == [6, 2, 0]


# Sweeps on the two GPUs


def words_on_gpus(folder: Path, *more: str, name: str = "s") -> list[str]:
    return words_of_a_sweep(folder, "trainer.accelerator=auto", UNCONFIRMED, *more, name=name)


def spans(directory: Path) -> list[tuple[float, float, tuple[str, ...]]]:
    """(begin, end, GPUs) of every trial."""
    found = []
    for record in (RunRecord(p.parent) for p in directory.glob("t*/result.json")):
        result = record.result()
        assert result is not None and result["status"] == "finished"
        begin = (record.directory / "starts").stat().st_mtime
        end = (record.directory / "ends").stat().st_mtime
        found.append((begin, end, tuple(result["sweep"]["gpus"])))
    return found


@pytest.mark.slow
def test_two_sweeps_at_once_never_meet_on_a_gpu(processes: Processes, tmp_path: Path) -> None:
    first = words_on_gpus(tmp_path, "pace=0.05", "workers=2", name="first")
    second = words_on_gpus(tmp_path, "pace=0.05", "workers=3", name="second")
    for process in [processes.forked(*FORKED, *words) for words in (first, second)]:
        out, error = said_by(process)
        assert process.returncode == 0, (out, error)
    assert "2 of the 3 workers fit on the GPUs at a time" in error
    found = [s for name in ("first", "second") for s in spans(tmp_path / "runs" / name)]
    assert len(found) == 8
    for begin, _, gpus in found:
        assert [g for b, e, g in found if g == gpus and b <= begin < e] == [gpus]
    visible = {(d.parent / "visible").read_text() for d in tmp_path.glob("runs/*/t*/ends")}
    assert visible <= {A + "\n", B + "\n"}, "by UUID, and one alone"


@pytest.mark.slow
def test_trial_over_several_gpus_gets_their_number(tmp_path: Path) -> None:
    directory = sweep(
        words_on_gpus(tmp_path, "launcher.gpus_per_trial=2", "n_trials=1", "workers=1")
    )
    assert "trainer.devices=2" in (directory / "t0000" / "given").read_text().split()
    assert (directory / "t0000" / "visible").read_text() == f"{A},{B}\n"
    assert [gpus for _, _, gpus in spans(directory)] == [(A, B)]


@pytest.mark.slow
def test_worker_without_a_free_gpu_waits_and_says_who_has_it(
    processes: Processes, tmp_path: Path
) -> None:
    both = take(GpuShare(per_trial=2))
    assert both is not None
    directory = tmp_path / "runs" / "s"
    process = processes.forked(*FORKED, *words_on_gpus(tmp_path, "workers=1", "n_trials=1"))
    log = directory / "workers" / "w0.log"
    wait_until(lambda: log.exists() and "Waiting for a GPU" in log.read_text())
    assert f"{A} by process {os.getpid()} of" in log.read_text()
    wait_until(lambda: [w.doing for w in workers_of(directory)] == ["waiting for a GPU"])
    both.release()
    out, error = said_by(process)
    assert process.returncode == 0 and "t0000 finished" in out, error
    waited, started, ended = log.read_text().splitlines()
    assert waited.startswith("Waiting") and started.endswith(" t0000 started")
    assert ended.endswith(" t0000 finished")


def test_too_few_gpus_for_one_trial_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    words = words_on_gpus(tmp_path, "launcher.gpus_per_trial=3")
    assert_refused(words, r"launcher.gpus_per_trial=2, or make more")
