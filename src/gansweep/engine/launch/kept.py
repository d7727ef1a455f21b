"""Workers that live no longer than the process that keeps them: it starts them again where they
die, lets them save where it is stopped, and ends with them."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from gansweep.engine.failures import SweepHalt
from gansweep.engine.launch.deaths import ENDED, Deaths, ended_trials, obituary
from gansweep.engine.lease.workers import is_cancelled
from gansweep.engine.worker import EXIT_STOPPED
from gansweep.errors import UserError
from gansweep.signals import StopRequests

SAVE_SECONDS = 30.0  # for the other workers, if one cannot work

Work = TypeVar("Work")  # what runs a worker: a process, or a task of a cluster


@dataclass
class Slot(Generic[Work]):
    """The place of one worker: its name and log, what runs it now, how those before it died."""

    name: str
    log: Path
    work: Work | None = None
    started: float = 0.0
    deaths: Deaths = field(default_factory=Deaths)
    start_at: float | None = None  # when a dead worker is started again


class KeptWorkers(ABC, Generic[Work]):
    """Starts workers and keeps them running until the sweep is finished or stopped.

    directory: of the sweep, as messages show it.   names: of the workers.
    """

    def __init__(self, directory: Path, names: list[str]) -> None:
        self.shown, self.directory = directory, directory.resolve()
        self.stops = StopRequests()
        logs = directory / "workers"
        logs.mkdir(exist_ok=True)
        self.slots: list[Slot[Work]] = [Slot(name, logs / f"{name}.log") for name in names]

    def run(self, tick: Callable[[], None], every_seconds: float = 0.5) -> bool:
        """Wait until all is done (True) or stopped by a signal or `gansweep cancel` (False). Calls
        `tick` meanwhile.

        The first SIGINT or SIGTERM lets the workers save their checkpoints, the second kills.
        Raises: UserError, with the reason, if the workers cannot work or the first trials failed
            alike.
        """
        with self._reached(), self.stops:
            try:
                for slot in self.slots:
                    self._begin(slot)
                while self._attend():
                    tick()
                    time.sleep(every_seconds)
                tick()
            except (UserError, OSError):  # of a worker, a disk or the view: the others save
                self._ask(kill=False)
                self._await(SAVE_SECONDS)
                raise
            finally:
                self._end()
        stop = SweepHalt.of(self.directory)
        if stop is not None:
            raise UserError(stop.message(self.shown))
        return not self.stops and not is_cancelled(self.directory)

    @abstractmethod
    def _reached(self) -> AbstractContextManager[object]:
        """Within it, workers can be started."""

    @abstractmethod
    def _started(self, slot: Slot[Work]) -> Work:
        """Start the slot's worker."""

    @abstractmethod
    def _look_at(self, slot: Slot[Work], work: Work) -> bool:
        """Whether it still runs or waits. Where it died, `_mourn` is called.

        Raises: UserError, with its last words, if it cannot work.
        """

    @abstractmethod
    def _ask(self, kill: bool) -> None:
        """Have all workers save and end, or, with kill, end."""

    @abstractmethod
    def _await(self, seconds: float) -> None:
        """Wait until all workers have ended, but no longer than this."""

    @abstractmethod
    def _end(self) -> None:
        """End what is left."""

    def _starts_more(self) -> bool:
        """Whether a worker that died is started again."""
        return not self.stops

    def _begin(self, slot: Slot[Work]) -> None:
        slot.work = self._started(slot)
        slot.started, slot.start_at = time.monotonic(), None

    def _attend(self) -> bool:
        """Look after every worker once; whether any still runs or waits."""
        if stops := self.stops.new():
            self._ask(kill=stops > 1)
        running = 0
        for slot in self.slots:
            if slot.work is not None and not self._look_at(slot, slot.work):
                slot.work = None
            if not self._starts_more():
                slot.start_at = None
            if slot.start_at is not None and time.monotonic() >= slot.start_at:
                self._begin(slot)
            running += slot.work is not None or slot.start_at is not None
        return running > 0

    def _mourn(self, slot: Slot[Work], code: int, place: str = "") -> None:
        """Schedule another start of a worker that ended, if that is due.

        place: where it ran, if that is not here.
        Raises: UserError, with its last words, if it cannot work.
        """
        if code in ENDED or self.stops:
            return
        now = time.monotonic()
        pause: float | None = 0.0
        if code != EXIT_STOPPED:
            pause = slot.deaths.pause(code, now - slot.started, ended_trials(self.directory))
        if pause is None:
            raise obituary(f"{slot.name}{place}", slot.log, code)
        slot.start_at = now + pause
