"""The signals that ask a process to save its work and end."""

import os
import signal
import stat
from types import FrameType
from typing import Any


def stop_signals() -> tuple[signal.Signals, ...]:
    """SIGINT, SIGTERM and SIGHUP (the terminal was closed).

    Without SIGHUP if the process ignores it, as under nohup.
    """
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        return signal.SIGINT, signal.SIGTERM
    return signal.SIGINT, signal.SIGTERM, signal.SIGHUP


def note_hangup(number: int) -> None:
    """If `number` is SIGHUP, stop using the terminal, and ignore further SIGHUPs.

    Output to a closed terminal would raise an error while the process saves its work, so it goes
    to /dev/null. Kernel and shell may both send the signal.
    """
    if number != signal.SIGHUP:
        return
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for descriptor in (1, 2):
        if stat.S_ISCHR(os.fstat(descriptor).st_mode):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


class StopRequests:
    """The stop signals that come within `with requests: ...`; true once there is one.

    raising: a SIGINT after another signal raises KeyboardInterrupt.
    `first` is the first signal.
    """

    def __init__(self, raising: bool = False) -> None:
        self.raising = raising
        self.first: signal.Signals | None = None
        self.many = 0
        self._passed_on = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        for number in stop_signals():
            self._before[number] = signal.signal(number, self._count)

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._count:
                signal.signal(number, handler)

    def __bool__(self) -> bool:
        return self.many > 0

    def new(self) -> int:
        """How many have come, where that has grown since this was asked last; else 0."""
        if self.many == self._passed_on:
            return 0
        self._passed_on = self.many
        return self.many

    def _count(self, number: int, frame: FrameType | None) -> None:
        note_hangup(number)
        if self.raising and self.first and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.first = self.first or signal.Signals(number)
        self.many += 1
