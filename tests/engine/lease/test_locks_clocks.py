"""Leases of other hosts, whose clocks and locks are not ours."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from gansweep.engine.lease import locks
from gansweep.engine.lease.locks import LEASE_SECONDS, Lease, is_alive, remove_dead


@pytest.fixture
def lease(tmp_path: Path) -> Path:
    """Of another host, touched before its clock was set back by an hour."""
    path = tmp_path / "trials-0"
    path.write_text('{"worker": "w0", "pid": 1, "kernel": "of another host"}\n')
    touch(path, 3600.0)
    return path


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that have passed by our own clock, one after the other."""
    waited: list[float] = []
    monkeypatch.setattr(time, "monotonic", lambda: sum(waited))
    return waited


def touch(path: Path, ahead: float) -> None:
    os.utime(path, (0.0, time.time() + ahead))


def test_lease_touched_in_the_future_dies_when_its_touch_stays_as_it_is(
    lease: Path, wait: list[float]
) -> None:
    assert is_alive(lease), "unknown: it may be touched again"
    wait.append(0.9 * LEASE_SECONDS)
    assert is_alive(lease)
    wait.append(0.2 * LEASE_SECONDS)
    assert not is_alive(lease)
    remove_dead(lease)
    assert not lease.exists()


def test_lease_touched_in_the_future_lives_while_it_is_touched(
    lease: Path, wait: list[float]
) -> None:
    for seconds in range(10):
        assert is_alive(lease)
        wait.append(0.9 * LEASE_SECONDS)
        touch(lease, 3600.0 + seconds)


def test_clock_set_back_by_less_than_a_lease_kills_nobody(lease: Path) -> None:
    touch(lease, 0.5 * locks.LEASE_SECONDS)
    assert is_alive(lease)


def test_who_may_only_read_a_lease_sees_whether_it_lives(
    tmp_path: Path, lease: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A colleague's sweep, say."""
    ours, there = Lease(tmp_path / "leases" / "trials-1", "w1"), os.open

    def opened(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return there(path, flags, *more, **named)

    def written(path: Path, _: bytes) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(Path, "write_bytes", written)
    assert is_alive(ours.path)
    touch(lease, -0.5 * LEASE_SECONDS)
    assert is_alive(lease)
    touch(lease, -2 * LEASE_SECONDS)
    assert not is_alive(lease)
    ours.release()
