"""Processes that a test starts: what they do is waited for, and they end with it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 200.0  # for what takes a few seconds, on a machine that is slow


class Patience:
    """Seconds of a machine at rest; where others work too they pass more slowly, as all work does.

    What hangs is told late on such a machine, and what is only slow is not taken for it.
    """

    def __init__(self, seconds: float) -> None:
        self._left, self._at = seconds, time.monotonic()

    def ended(self) -> bool:
        now = time.monotonic()
        share = min(1.0, len(os.sched_getaffinity(0)) / max(1.0, os.getloadavg()[0]))
        self._left, self._at = self._left - share * (now - self._at), now
        return self._left < 0


class Processes:
    """Python processes with pipes for what they write, killed at the end where they still run."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """options: of Popen."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen([sys.executable, *words], text=True, **{**pipes, **options})
        self._started.append(process)
        return process

    def forked(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """The same with the training stack loaded: see forked.py."""
        from forked import Forked

        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = Forked([sys.executable, *words], text=True, **{**pipes, **options})
        self._started.append(process)
        return process

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()


def said_by(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a process writes to its two pipes, once it has ended."""
    patience = Patience(PATIENCE_SECONDS)
    while True:
        try:
            return process.communicate(timeout=1.0)
        except subprocess.TimeoutExpired:
            if patience.ended():
                raise


def free_port() -> int:
    """Of 127.0.0.1, that nothing listens on as yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """What `condition` gives as soon as it gives something true."""
    patience = Patience(seconds)
    while not (found := condition()):
        assert not patience.ended(), "waited too long"
        time.sleep(0.02)
    return found


def running(pid: int) -> bool:
    """Whether a process computes still: it has not ended, nor waits to be buried."""
    return _state(pid) not in ("", "Z", "X")


def descendants(pid: int) -> list[int]:
    """The processes below a process, each after its parent."""
    return [below for child in children(pid) for below in (child, *descendants(child))]


def children(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, path.read_text().split())
        except OSError:  # it ended meanwhile
            continue
    return found


def name_of(pid: int) -> str:
    """Of a process, as proc(5)'s comm has it; "" where there is no such process."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def suspend(pid: int) -> list[int]:
    """Stop a process and all below it, wherever each is; those that did not end before."""
    stopped: list[int] = []
    while new := [p for p in (pid, *descendants(pid)) if p not in stopped]:
        for each in new:  # parents first: who is stopped begins no other
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                os.kill(each, signal.SIGSTOP)
        wait_until(lambda new=new: all(_state(each) in ("", "T", "Z") for each in new))
        stopped += new
    return [each for each in stopped if running(each)]


def _state(pid: int) -> str:
    """As proc(5) has it: "T" where it is stopped, say; "" where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
