"""Processes that have the training stack from their start: forked from one that imported it, which
takes five seconds of a core.

    Forked([sys.executable, "-m", "gansweep", "train", ...], cwd=folder)

is a Popen, and its process a child of this one, with streams, signals, a session and an exit code
as a fresh one has. What lies in the order of imports, in the environment that PyTorch reads when it
is imported, or in the time until the first word needs a fresh one.

What was forked so calls `nest()` at its start, to have the workers that it starts, and the servers
of their trials, forked from itself.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import util
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from processes import wait_until

SUPPORT = str(Path(__file__).parent)
SERVE = f"import sys; sys.path.insert(0, {SUPPORT!r}); import forked; forked.serve({{}})"
STACK = ("gansweep.cli.train", "gansweep.run.train", "gansweep.cli.sweep_run", "pytest")
MOST_BYTES, MOST_FILES = 1 << 17, 32  # of an order
ABOVE_ALL = 100  # descriptors that are given to a process lie here before they have their numbers
PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 15, 36
NAME = "forks"  # of a server, in /proc/PID/comm
OF_GROUPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
WORKER = (
    "import forked, runpy; forked.nest()\n"
    "runpy.run_module('gansweep.engine', run_name='__main__', alter_sys=True)"
)


class Forked(subprocess.Popen[Any]):
    """args: of this Python, from -c or -m.   options: of Popen, but for another program or user."""

    def __init__(self, args: list[str], **options: Any) -> None:
        assert args[0] == sys.executable, args
        self._options = options
        super().__init__(args, **options)

    def _execute_child(self, args: list[str], *given: Any) -> None:
        """In place of fork and exec."""
        pipes = given[9:15]
        theirs = {number: fd for number, fd in enumerate((pipes[0], pipes[3], pipes[5])) if fd >= 0}
        kept = {number: number for number in (0, 1, 2, *self._options.get("pass_fds", ()))}
        self.pid = _server().fork(_ordered(args[1:], kept | theirs, **self._options))
        self._child_created = True
        self._close_pipe_fds(*pipes)


class ForkedWorker(Forked):
    """python -m gansweep.engine ..., whose trials' server is forked too."""

    def __init__(self, args: list[str], **options: Any) -> None:
        assert args[1:3] == ["-m", "gansweep.engine"], args
        super().__init__([args[0], "-c", WORKER, *args[3:]], **options)


@contextlib.contextmanager
def forked_workers() -> Iterator[None]:
    """The workers that sweeps of this process start are forked."""
    with pytest.MonkeyPatch.context() as patch:
        _fork_workers(patch)
        yield


def _fork_workers(patch: pytest.MonkeyPatch) -> None:
    from gansweep.engine.launch import local

    forking = SimpleNamespace(**{**vars(subprocess), "Popen": ForkedWorker})
    patch.setattr(local, "subprocess", forking)


def nest() -> None:
    """In a process that was forked: what it starts for a sweep is forked from it."""
    _started.append(_Server(_copy_of_this))
    patch = pytest.MonkeyPatch()  # until the process ends
    _fork_workers(patch)
    spawned = util.spawnv_passfds

    def forked(path: Any, args: Sequence[Any], passed: Sequence[int]) -> int:
        if "multiprocessing.forkserver" not in str(args[-1]):
            return spawned(path, args, passed)
        return _server().fork(_ordered(args[-2:], {n: n for n in (0, 1, 2, *passed)}))

    patch.setattr(util, "spawnv_passfds", forked)


def ranks(function: Callable[..., None], *arguments: Any, world: int = 2) -> None:
    """function(rank, *arguments) in `world` processes at once, until all have ended.

    function: of a module that can be imported.   arguments: numbers and strings.
    """
    file = Path(sys.modules[function.__module__].__file__ or "")
    code = f"from {function.__module__} import {function.__name__} as f; f({{}}, *{arguments!r})"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(file.parent), SUPPORT])}
    words = [[sys.executable, "-c", code.format(rank)] for rank in range(world)]
    started = [Forked(each, env=env) for each in words]
    try:
        wait_until(lambda: any(each.poll() for each in started) or not _running(started))
        assert [each.poll() for each in started] == [0] * world
    finally:
        for process in started:
            process.kill()
            process.wait()


def _running(processes: list[Forked]) -> bool:
    return any(each.poll() is None for each in processes)


@dataclass(frozen=True)
class _Order:
    """What a process is to do.   files: its number of each -> ours."""

    words: list[str]
    files: dict[int, int]
    cwd: str
    env: dict[str, str]
    session: bool
    blocked: list[int]  # signals

    def sent(self) -> bytes:
        return json.dumps(vars(self) | {"files": list(self.files)}).encode()


def _ordered(
    words: Sequence[Any],
    files: dict[int, int],
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    start_new_session: bool = False,
    **_: Any,
) -> _Order:
    """options: of Popen."""
    return _Order(
        words=list(map(os.fspath, words)),
        files=files,
        cwd=os.fspath(cwd or os.getcwd()),
        env=dict(env or os.environ),
        session=start_new_session,
        blocked=[int(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
    )


class _Server:
    """The process that the others are forked from, which ends with this one.

    begin: starts it with its end of a socket, and not with ours; what waits for its end.
    """

    def __init__(self, begin: Callable[[socket.socket, socket.socket], Callable[[], Any]]) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._wait = begin(theirs, self._ours)
        theirs.close()
        atexit.register(self.end)

    def fork(self, order: _Order) -> int:
        """The process that carries out an order."""
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)  # a grandchild whose parent ends becomes our child
        try:
            socket.send_fds(self._ours, [order.sent()], list(order.files.values()))
            answer = self._ours.recv(MOST_BYTES)
        finally:
            libc.prctl(PR_SET_CHILD_SUBREAPER, 0)
        assert answer, f"the server ended with {self._wait()}"
        return int(answer)

    def end(self) -> None:
        self._ours.close()
        self._wait()


def _fresh(theirs: socket.socket, ours: socket.socket) -> Callable[[], Any]:
    """A process that imports the training stack."""
    fd = theirs.fileno()
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    words = [sys.executable, "-c", SERVE.format(fd)]
    return subprocess.Popen(words, env=env, pass_fds=(fd,), stdin=subprocess.DEVNULL).wait


def _copy_of_this(theirs: socket.socket, ours: socket.socket) -> Callable[[], Any]:
    if (pid := os.fork()) == 0:
        try:
            ours.close()
            _answer(theirs)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return functools.partial(os.waitpid, pid, 0)


_started: list[_Server] = []
_own_paths: list[str] = []  # of this Python, without those that PYTHONPATH and a folder add


def _server() -> _Server:
    if not _started:
        _started.append(_Server(_fresh))
    return _started[0]


def serve(fd: int) -> None:
    """Import the training stack, then fork as `_answer` says."""
    _own_paths[:] = sys.path[2:]
    for name in STACK:
        importlib.import_module(name)
    from gansweep.config.compose import compose

    compose()  # Hydra builds its grammar
    gc.collect()
    gc.freeze()  # these pages stay shared
    _answer(socket.socket(fileno=fd))


def _answer(channel: socket.socket) -> NoReturn:
    """Fork a process for each order that a socket brings, until it is closed."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_NAME, NAME.encode())
    # those of a terminal, or of a group of processes: it ends with who started it
    signal.pthread_sigmask(signal.SIG_BLOCK, OF_GROUPS)
    assert len(os.listdir("/proc/self/task")) == 1, "a thread would be lost"
    with contextlib.suppress(ConnectionError):  # who asked was killed
        while True:
            order, files, _, _ = socket.recv_fds(channel, MOST_BYTES, MOST_FILES)
            if not order:
                break
            _carry_out(order, files, channel, libc)
    os._exit(0)


def _carry_out(order: bytes, files: list[int], channel: socket.socket, libc: Any) -> None:
    held, holds = os.pipe()  # its end is the process's start
    said, says = os.pipe()
    if (between := os.fork()) == 0:
        if (pid := os.fork()) == 0:
            channel.close()
            libc.prctl(PR_SET_NAME, b"python")
            os.close(holds)
            os.read(held, 1)
            for each in (held, said, says):
                os.close(each)
            _become(json.loads(order), files)
        os.write(says, str(pid).encode())
        os._exit(0)
    os.waitpid(between, 0)  # the process has another parent
    channel.send(os.read(said, 100))
    for each in (held, holds, said, says, *files):
        os.close(each)


def _become(order: dict[str, Any], files: list[int]) -> NoReturn:
    """Run as `python WORDS` does."""
    above = [fcntl.fcntl(each, fcntl.F_DUPFD, ABOVE_ALL) for each in files]
    for number in files:
        os.close(number)
    for number, each in zip(order["files"], above, strict=True):
        os.dup2(each, number)
        os.close(each)
    if order["session"]:
        os.setsid()
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    signal.pthread_sigmask(signal.SIG_SETMASK, order["blocked"])
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        lines = 1 if name == "stderr" or os.isatty(number) else -1
        stream = os.fdopen(number, mode, lines, closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    paths = [path for path in order["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    kind, what, *more = order["words"]
    sys.path[:] = ["" if kind == "-c" else order["cwd"], *paths, *_own_paths]
    sys.argv[:] = [kind, *more]
    _end(_code_of(kind, what))


def _code_of(kind: str, what: str) -> int:
    try:
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(compile(what, "<string>", "exec"), sys.modules["__main__"].__dict__)
    except SystemExit as exit:
        if exit.code is None or isinstance(exit.code, int):
            return exit.code or 0
        print(exit.code, file=sys.stderr)
        return 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _end(code: int) -> NoReturn:
    """As the interpreter does, but that it does not take the training stack apart, for 1.6 s."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
