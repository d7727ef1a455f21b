"""The server that a worker's trials are forked from: started, restarted, and its errors shown.

It imports the training stack once. If it is killed or ends meanwhile, for example for want of
memory, no trial has begun, and the failure counts for none.
"""

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
END_SECONDS = 5.0  # for a server to end after its connection
SAID_LINES = 5


class ServerDiedError(UserError):
    """No trial can be forked: the server died again and again."""


class TrialServer:
    """multiprocessing's fork server, of which a process has one."""

    def __init__(self, log: Path, preload: Sequence[str]) -> None:
        """log: for the server's output.   preload: the modules that it imports."""
        self.log = log
        self.context = get_context("forkserver")
        self.context.set_forkserver_preload(list(preload))
        self._by_itself = self._by_others = 0  # deaths since a trial has begun

    def start(self) -> None:
        """Start it if it does not run, with SIGTERM and SIGHUP blocked.

        SLURM and terminals send these to all of their processes. The children must save then, and
        they end with their server.
        """
        resource_tracker.ensure_running()  # first: it would unblock them
        with self._logging():
            signal.pthread_sigmask(signal.SIG_BLOCK, HELD_OFF)
            try:
                forkserver.ensure_running()
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_OFF)

    def fork(self, target: Callable[..., None], order: Any, answers: Connection) -> Any:
        """Start target(order, answers) in a child, with a new server if needed; the child.

        Raises: ServerDiedError if one server after another dies before it has forked.
        """
        server: Any = forkserver._forkserver
        while True:
            child, pid = self.context.Process(target=target, args=(order, answers)), None
            try:
                self.start()
                pid = server._forkserver_pid
                child.start()
            except (EOFError, OSError) as error:
                self.died(None if pid is None else _ended(pid), error)
            else:
                return child

    def died(self, code: int | None, cause: BaseException | None = None) -> None:
        """Note that the server died before a trial began; wait for a moment.

        code: its exit code, below 0 for a signal; None: not known.
        Raises: ServerDiedError if it has died too often.
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
        killed = code is not None and code < 0
        why = f"killed by {signal_of(code or 0)}" if killed else (said or ["without a message"])[-1]
        fix = "Correct that"
        if not killed and any(map(is_memory_word, said)):
            limits = "`ulimit -v`, or that of the job or the container"
            fix = f"It had too little memory: raise the limit ({limits}), or start fewer workers"
        elif code is None or killed:
            fix = "If the kernel or the cluster kills for want of memory, start fewer workers"
        return (
            "The process that trials are forked from ended "
            f"{self._by_itself + self._by_others} times before a trial began, the last time: {why} "
            f"(its log: {self.log}). {fix}, then give the same command again: the sweep continues."
        )

    @contextlib.contextmanager
    def _logging(self) -> Iterator[None]:
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


def _ended(pid: int) -> int | None:
    """The exit code of the server; multiprocessing itself waits for the process."""
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        try:
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return None
        if ended is not None:
            return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        time.sleep(0.05)
    return None
