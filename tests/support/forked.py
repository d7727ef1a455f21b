"""Processes that have the training stack from their start: forked from one that imported it, which
takes five seconds of a core.

    Forked([sys.executable, "-m", "gansweep", "train", ...], cwd=folder)

is a Popen, and its process a child of this one, with streams, signals, a session and an exit code
as a fresh one has. What lies in the order of imports, in the environment that PyTorch reads when it
is imported, or in the time until the first word needs a fresh one.
"""

from __future__ import annotations

import atexit
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from processes import wait_until

SUPPORT = str(Path(__file__).parent)
SERVE = f"import sys; sys.path.insert(0, {SUPPORT!r}); import forked; forked.serve({{}})"
STACK = ("gansweep.cli.train", "gansweep.run.train", "pytest")
MOST_BYTES, MOST_FILES = 1 << 17, 32  # of an order
ABOVE_ALL = 100  # descriptors that are given to a process lie here before they have their numbers
PR_SET_CHILD_SUBREAPER = 36


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
        files = kept | theirs
        order = {
            "words": list(map(os.fspath, args[1:])),
            "cwd": os.fspath(self._options.get("cwd") or os.getcwd()),
            "env": dict(self._options.get("env") or os.environ),
            "session": bool(self._options.get("start_new_session")),
            "files": list(files),
        }
        self.pid = _server().fork(order, list(files.values()))
        self._child_created = True
        self._close_pipe_fds(*pipes)


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


class _Server:
    """The process that the others are forked from, which ends with this one."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fd = theirs.fileno()
        env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        words = [sys.executable, "-c", SERVE.format(fd)]
        self._process = subprocess.Popen(words, env=env, pass_fds=(fd,), stdin=subprocess.DEVNULL)
        theirs.close()
        atexit.register(self.end)

    def fork(self, order: dict[str, Any], files: list[int]) -> int:
        """The process that carries out an order, with these files."""
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)  # a grandchild whose parent ends becomes our child
        try:
            socket.send_fds(self._ours, [json.dumps(order).encode()], files)
            answer = self._ours.recv(MOST_BYTES)
        finally:
            libc.prctl(PR_SET_CHILD_SUBREAPER, 0)
        assert answer, f"the server ended with {self._process.wait()}"
        return int(answer)

    def end(self) -> None:
        self._ours.close()
        self._process.wait()


@functools.cache
def _server() -> _Server:
    return _Server()


def serve(fd: int) -> None:
    """Fork a process for each order that a socket brings, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: it ends with the tests
    for name in STACK:
        importlib.import_module(name)
    from gansweep.config.compose import compose

    compose()  # Hydra builds its grammar
    gc.collect()
    gc.freeze()  # these pages stay shared
    assert len(os.listdir("/proc/self/task")) == 1, "a thread would be lost"
    channel = socket.socket(fileno=fd)
    while True:
        order, files, _, _ = socket.recv_fds(channel, MOST_BYTES, MOST_FILES)
        if not order:
            os._exit(0)
        held, holds = os.pipe()  # its end is the process's start
        said, says = os.pipe()
        if (between := os.fork()) == 0:
            if (pid := os.fork()) == 0:
                channel.close()
                os.close(holds)
                os.read(held, 1)
                for each in (held, said, says):
                    os.close(each)
                return _become(json.loads(order), files)
            os.write(says, str(pid).encode())
            os._exit(0)
        os.waitpid(between, 0)  # the process has another parent
        channel.send(os.read(said, 100))
        for each in (held, holds, said, says, *files):
            os.close(each)


def _become(order: dict[str, Any], files: list[int]) -> None:
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
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        lines = 1 if name == "stderr" or os.isatty(number) else -1
        stream = os.fdopen(number, mode, lines, closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    paths = [path for path in order["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    kind, what, *more = order["words"]
    sys.path[:] = ["" if kind == "-c" else order["cwd"], *paths, *sys.path[2:]]
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


def _end(code: int) -> None:
    """As the interpreter does, but that it does not take the training stack apart, for 1.6 s."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
