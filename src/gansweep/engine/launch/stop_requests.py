"""Requests to stop, counted for who looks after other processes: the second hurries."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from gansweep.signals import note_hangup, stop_signals


class StopRequests:
    """The SIGINTs and SIGTERMs that come within `with requests: ...`, and the end of the terminal;
    true once there is one."""

    def __init__(self) -> None:
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
        self.many += 1
