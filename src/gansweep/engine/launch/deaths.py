"""Workers that died: whether another start is worth it, and the error where it is not."""

import signal
from dataclasses import dataclass
from pathlib import Path

from gansweep.engine.failures import end_of, signal_of
from gansweep.engine.study import SweepStudy
from gansweep.engine.worker import EXIT_CANCELLED, EXIT_FAILED_ALIKE, EXIT_FINISHED
from gansweep.errors import UserError
from gansweep.judging.statuses import KILLED
from gansweep.search.trials import trials_of

QUICK_SECONDS = 5.0  # a worker that dies sooner than this by itself did no work
QUICK_DEATHS = 3  # of a worker, one after the other
FRUITLESS_DEATHS = 8  # of a worker, of any kind, with no trial ended in between
BACKOFF_SECONDS = 0.25  # before a worker is started again; doubled with every fruitless death
LAST_LINES = 5  # of a log that are shown
MOST_CHARACTERS = 4000  # of a worker's error that are shown
EXIT_USER_ERROR = 2

ENDED = (EXIT_FINISHED, EXIT_FAILED_ALIKE, EXIT_CANCELLED)  # exit codes without another start


@dataclass
class Deaths:
    """Those of one worker, one after the other."""

    quick: int = 0
    fruitless: int = 0
    ended_before: int = 0  # trials, at the last death

    def pause(self, code: int, seconds: float, ended: int) -> float | None:
        """Seconds until the worker is started again; None if it cannot work.

        code: how it ended, not one of ENDED.   seconds: that it lived.   ended: trials by now.
        """
        fruitless, was_quick = ended <= self.ended_before, seconds < QUICK_SECONDS
        self.ended_before = ended
        self.fruitless = self.fruitless + 1 if fruitless else 0
        # a worker that was killed from outside may have had no time for more
        by_itself = was_quick and fruitless and -code not in (signal.SIGKILL, signal.SIGTERM)
        self.quick = self.quick + 1 if by_itself else 0
        often = self.quick >= QUICK_DEATHS or self.fruitless >= FRUITLESS_DEATHS
        if code == EXIT_USER_ERROR or often:
            return None
        return float(BACKOFF_SECONDS * (2**self.fruitless - 1))


def ended_trials(directory: Path) -> int:
    """Trials and confirmation runs that ended, except those that ended with their worker."""
    try:
        study = SweepStudy(directory)
    except UserError:
        return 0
    notes = [t.user_attrs for s in (study.trials, study.confirms) for t in trials_of(s)]
    ended = [n for n in notes if n.get("status", "interrupted") != "interrupted"]
    return sum(n.get("failure") != KILLED for n in ended)


def obituary(worker: str, log: Path, code: int) -> UserError:
    """The error for a worker that cannot work, with its last words.

    worker: its name, and its host if that is another one.
    """
    said = end_of(log, LAST_LINES) or ["it said nothing"]
    if code == EXIT_USER_ERROR:  # one paragraph in one line, whose end is the fix
        unable = f"it could not write: check that {log} exists and its disk has space"
        said = end_of(log, LAST_LINES, MOST_CHARACTERS)[-1:] or [unable]
    killed = f"killed by {signal_of(code)}; " if code < 0 else ""
    words = "\n    ".join(said)
    return UserError(f"The sweep's worker {worker} cannot work: {killed}{words}\n(its log: {log})")
