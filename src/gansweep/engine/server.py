"""The server that a worker's trials are forked from: started, restarted, and its errors shown.

It imports the training stack once. It may be killed meanwhile, as for want of memory, or end by
itself, as under a limit of memory; then no trial has begun, and none is to pay for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import forkserver, get_context, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from gansweep.engine.child import HELD_OFF
from gansweep.engine.failures import end_of, is_memory_word, signal_of
from gansweep.errors import UserError

# deaths in a row after which another start is not worth it
BY_ITSELF = 2
BY_OTHERS = 5  # by SIGKILL and the like
PAUSE_SECONDS = 0.5  # before it is started again; doubled each time
END_SECONDS = 5.0  # for a server whose connection ended to end itself
SAID_LINES = 5


class ServerDiedError(UserError):
    """No trial can be forked: the server died again and again."""


class TrialServer:
    """multiprocessing's fork server, of which a process has one."""

    def __init__(self, log: Path, preload: Sequence[str]) -> None:
        """log: gets what the server says.   preload: the modules that it imports."""
        self.log = log
        self.context = get_context("forkserver")
        self.context.set_forkserver_preload(list(preload))
        self._by_itself = self._by_others = 0  # deaths since a trial has begun

    def start(self) -> None:
        """Start it where it does not run, deaf to SIGTERM and SIGHUP.

        SLURM sends the one to all processes of a job, a terminal the other to all of its own, and
        the children, which are to save then, end with their server.
        """
        resource_tracker.ensure_running()  # first: it would lift the mask
        with self._hearing():
            signal.pthread_sigmask(signal.SIG_BLOCK, HELD_OFF)
            try:
                forkserver.ensure_running()
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_OFF)

    def fork(self, target: Callable[..., None], order: Any, answers: Connection) -> Any:
        """Start target(order, answers) in a child, with a new server where it needs one; the child.

        Raises: ServerDiedError where one after the other dies before it has forked.
        """
        while True:
            child, pid = self.context.Process(target=target, args=(order, answers)), None
            try:
                self.start()
                pid = _pid()
                child.start()
            except (EOFError, OSError) as error:
                self.died(None if pid is None else _ended(pid), error)
            else:
                return child

    def died(self, code: int | None, cause: BaseException | None = None) -> None:
        """Note that the server died before a trial began; wait for a moment.

        code: its exit code, below 0 for a signal; None: not known.
        Raises: ServerDiedError where it has done so too often.
        """
        if code is None or code < 0:
            self._by_others += 1
        else:
            self._by_itself += 1
        if self._by_itself >= BY_ITSELF or self._by_others >= BY_OTHERS:
            raise ServerDiedError(self._obituary(code)) from cause
        time.sleep(PAUSE_SECONDS * 2.0 ** (self._by_itself + self._by_others - 1))

    def lived(self) -> None:
        """Note that a trial has begun."""
        self._by_itself = self._by_others = 0

    def _obituary(self, code: int | None) -> str:
        said = end_of(self.log, SAID_LINES)
        why = (said or ["without a word"])[-1]
        if code is not None and code < 0:
            why = f"killed by {signal_of(code)}"
        if why in said and any(is_memory_word(line) for line in said):
            fix = (
                "It had too little memory: raise the limit (`ulimit -v`, or that of the job or the "
                "container), or start fewer workers"
            )
        elif code is None or code < 0:
            fix = "Where the kernel or the cluster kills for want of memory, start fewer workers"
        else:
            fix = "Correct that"
        return (
            "The process that trials are forked from ended "
            f"{self._by_itself + self._by_others} times before a trial began, the last time: {why} "
            f"(all that it said is in {self.log}). {fix}, then give the same command again: the "
            "sweep goes on."
        )

    @contextlib.contextmanager
    def _hearing(self) -> Iterator[None]:
        """Within it a process that is started writes its errors to our log."""
        self.log.parent.mkdir(exist_ok=True)
        sys.stderr.flush()
        kept = os.dup(2)
        try:
            with open(self.log, "ab") as file:
                os.dup2(file.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _pid() -> int:
    server: Any = forkserver._forkserver
    return int(server._forkserver_pid)


def _ended(pid: int) -> int | None:
    """The exit code of the server, which is left to multiprocessing to be waited for."""
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        try:
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return None
        if ended is not None:
            by_signal = ended.si_code != os.CLD_EXITED
            return -ended.si_status if by_signal else ended.si_status
        time.sleep(0.05)
    return None
