"""Locks and leases: the kernel releases them with their holder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from processes import Processes

from gansweep.engine.lease.locks import Lease, is_alive, share_lease


def test_lock_is_released_by_the_death_of_its_holder(tmp_path: Path, processes: Processes) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from gansweep.engine.lease.locks import KernelLock\n"
        "with KernelLock(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    holder = processes("-c", code, str(path))
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with open(path) as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder.kill()
        holder.wait()
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_lease_lives_with_its_holder(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "leases" / "trials-0", "w0")
    assert is_alive(lease.path)
    lease.release()
    assert not is_alive(lease.path)


def test_lease_of_another_host_dies_when_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gansweep.engine.lease.locks.TOUCH_SECONDS", 3600)
    lease = Lease(tmp_path / "leases" / "trials-0", "w0")
    monkeypatch.setattr("gansweep.engine.lease.locks.kernel_id", lambda: "another host's")
    assert is_alive(lease.path)
    os.utime(lease.path, (0, 0))
    assert not is_alive(lease.path)


def test_lease_removed_while_its_lock_is_awaited_is_not_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = Lease(tmp_path / "leases" / "trials-0", "w0")
    monkeypatch.setattr("fcntl.flock", lambda *_: lease.path.unlink())
    assert share_lease(lease.path) is None


def test_lease_whose_stale_file_goes_while_its_lock_is_awaited_is_one_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "leases" / "trials-0"
    lock, removals = fcntl.flock, []

    def slow_lock(descriptor: int, how: int) -> None:
        if not removals:  # whoever finds the stale file is quicker
            removals.append(path.unlink())
        lock(descriptor, how)

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", slow_lock)
        lease = Lease(path, "w0")
    assert is_alive(path)
    lease.release()
