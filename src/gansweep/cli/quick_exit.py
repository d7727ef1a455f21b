"""The end of a command: at once, in place of the second that PyTorch takes to be torn down.

Threads that are waited for, exit handlers (of trackers, thread pools, coverage) and buffered output
are done with as ever. What is skipped is the interpreter's own end: the collection of a million
objects that the operating system frees anyway.
"""

from __future__ import annotations

import atexit
import os
import sys


class QuickExit:
    """Ends this process as its last exit handler, once it knows the exit code.

    Handlers run in the reverse order of their registration: make it before any other is registered.
    Where there are some already (a measurement of coverage registers one when Python starts), the
    process ends in the ordinary way.
    """

    code: int | None = None

    def __init__(self) -> None:
        self._process = os.getpid()
        registered = getattr(atexit, "_ncallbacks", lambda: 1)
        if registered() == 0:
            atexit.register(self._end)

    def _end(self) -> None:
        if self.code is None or os.getpid() != self._process:
            return  # an exception ended the process, or this is a fork of it
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):
            return  # the interpreter tries again, and says so
        os._exit(self.code)
