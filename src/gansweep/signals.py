"""The signals that ask a process to save its work and end."""

from __future__ import annotations

import os
import signal
import stat


def stop_signals() -> tuple[signal.Signals, ...]:
    """Ctrl-C, a termination, and the end of the terminal; that last one is none to a process that
    was started to survive it, as by nohup."""
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        return signal.SIGINT, signal.SIGTERM
    return signal.SIGINT, signal.SIGTERM, signal.SIGHUP


def note_hangup(number: int) -> None:
    """Where `number` is SIGHUP, expect no terminal any more, nor another word of its end.

    What would be written to it goes nowhere: it would raise an error in the middle of the saving.
    Kernel and shell may both tell of the end.
    """
    if number != signal.SIGHUP:
        return
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for descriptor in (1, 2):
        if stat.S_ISCHR(os.fstat(descriptor).st_mode):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
