"""Why trials fail, and when a sweep stops for it.

Every failure is of one of the kinds in `judging.statuses.FAILURES`. Where the first trials fail by
the same cause, the others would too: the sweep stops and reports the cause.
"""

from __future__ import annotations

import errno
import json
import signal
import sys
import sysconfig
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gansweep.errors import UserError
from gansweep.judging.statuses import BUG, KILLED, MISTAKE, OUT_OF_MEMORY
from gansweep.records.plain_values import parsed
from gansweep.records.record import FULL, RunRecord, content_of, replace_atomically

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

# end of an attempt that is followed by another -> the trial's failure, if that was too often
RETRIED = {"killed": KILLED, "out_of_memory": OUT_OF_MEMORY, "crashed": BUG}
CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL")  # its own doing

MEMORY_WORDS = (
    # RuntimeErrors of PyTorch and of the libraries below it; its own class came with 1.13
    *("out of memory", "can't allocate memory", "cudaErrorMemoryAllocation"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
    # errors of the library loader and of C++ under a limit of the address space
    *("MemoryError", "bad_alloc", "Cannot allocate memory", "failed to map segment"),
)
EXIT_NO_SPACE = 74  # of a trial's process; as in sysexits.h, an input/output error
EXIT_SUPERSEDED = 76  # of a trial's process: another one has its run

STOPPED = "stopped"  # the file by which workers on all hosts see that the sweep was stopped
LAST_LINES = 15  # of a traceback or a log
LINE_CHARACTERS = 200  # of each of these lines


@dataclass(frozen=True)
class Failure:
    """What an exception says of the trial that it ended."""

    kind: str  # one of statuses.FAILURES
    reason: str
    alike: str  # equal for failures that have one cause; "" if others need not fail by it

    @classmethod
    def of(cls, error: BaseException, run_dir: Path) -> Failure:
        """The failure of the run in `run_dir`, whose name does not count."""
        reason = f"{type(error).__name__}: {error}"
        if any(_is_out_of_memory(e) for e in _causes(error)):
            return cls(OUT_OF_MEMORY, reason, "")
        if isinstance(error, UserError):
            return cls(MISTAKE, str(error), str(error).replace(str(run_dir), "RUN"))
        *_, root = _causes(error)
        return cls(BUG, reason, f"{type(root).__name__} at {_own_place(root)}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception, and those that it was raised from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU or the host had no more memory; seen by names and texts, without PyTorch."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    if any(cls.__name__ == "OutOfMemoryError" for cls in type(error).__mro__):
        return True
    return isinstance(error, (RuntimeError, ImportError)) and is_memory_word(str(error))


def is_memory_word(text: str) -> bool:
    """Whether the output of a process speaks of too little memory."""
    return any(word in text for word in MEMORY_WORDS)


def is_disk_full(error: BaseException) -> bool:
    """Whether a trial ended for want of space on the disk, by no fault of its own."""
    return any(isinstance(e, OSError) and e.errno in FULL for e in _causes(error))


def _own_place(error: BaseException) -> str:
    """FILE:LINE of the innermost call in gansweep's or the user's code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not _is_library(f.filename)] or frames
    return f"{own[-1].filename}:{own[-1].lineno}" if own else "?"


def _is_library(filename: str) -> bool:
    package: ModuleType = sys.modules["gansweep"]
    if any(filename.startswith(folder) for folder in package.__path__):
        return False  # though it may be installed among them
    paths = sysconfig.get_paths()
    folders = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    return filename.startswith(("<", *folders))


def signal_of(exit_code: int) -> str:
    """The signal that ended a process, by its exit code below 0: "SIGKILL", or "signal 40" for a
    real-time signal, which has no name."""
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"


def end_of(path: Path, lines: int = LAST_LINES, characters: int = LINE_CHARACTERS) -> list[str]:
    """The last non-empty lines of a log or a traceback, each cut to `characters`."""
    if not path.exists():
        return []
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - lines * 1000))
        text = file.read().decode(errors="replace")
    said = [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
    return [s if len(s) <= characters else s[: characters - 3] + "..." for s in said]


def record_exception(record: RunRecord, error: Exception, sweep: dict[str, Any]) -> None:
    """Write the failure into the record: an error before training leaves none there."""
    failure = Failure.of(error, record.directory)
    text = "".join(traceback.format_exception(error))
    record.write(record.traceback_path, text.encode(errors="backslashreplace"))
    result = record.result() or {"sweep": sweep}
    if result.get("status") not in (None, "running", "interrupted", "paused", "failed"):
        return  # how the training ended counts, not what came after it
    found = {"failure": failure.kind, "failed_at": failure.alike, "reason": failure.reason}
    record.write_result({**result, "status": "failed", **found})


def record_end(record: RunRecord, kind: str, reason: str) -> None:
    """Mark a run that could not do so itself as failed, with the last lines of its log."""
    record.directory.mkdir(exist_ok=True)
    found = {"failure": kind, "log_tail": end_of(record.directory / "log.txt"), "reason": reason}
    alike = {"failed_at": reason} if kind == BUG else {}
    record.write_result({**(record.result() or {}), "status": "failed", **found, **alike})


def reopen(record: RunRecord) -> None:
    """Let a failed run continue, from its checkpoint if it has one."""
    result = record.result() or {}
    if result.get("status") == "failed":
        gone = ("failure", "failed_at", "log_tail")
        kept = {key: value for key, value in result.items() if key not in gone}
        record.write_result({**kept, "status": "interrupted"})
        (record.directory / "traceback.txt").unlink(missing_ok=True)


def all_alike(trials: Sequence[FrozenTrial], many: int) -> list[FrozenTrial]:
    """The trials that ended, where these are at least `many` and all failed by the same cause; else
    none. Which ended first does not matter: the clocks of several hosts may differ."""
    ended = [t for t in trials if t.state.is_finished()]
    causes = {t.user_attrs.get("alike") or None for t in ended}
    return ended if 0 < many <= len(ended) and len(causes - {None}) == len(causes) == 1 else []


@dataclass(frozen=True)
class SweepHalt:
    """Why a sweep was stopped."""

    many: int  # trials that failed alike
    first: str  # the run that failed first
    kind: str  # BUG or MISTAKE
    said: list[str]  # the end of its traceback, or its message

    @classmethod
    def after(cls, alike: Sequence[FrozenTrial], run_dir: Path) -> SweepHalt:
        """alike: the trials that failed by one cause; run_dir: of a failed run of the first."""
        kind = alike[0].user_attrs["failure"]
        result = RunRecord(run_dir).result() or {}
        said = end_of(run_dir / "traceback.txt") if kind == BUG else []
        said = said or result.get("log_tail") or []
        return cls(len(alike), run_dir.name, kind, said or [str(alike[0].user_attrs["reason"])])

    def save(self, directory: Path) -> None:
        replace_atomically(directory / STOPPED, json.dumps(asdict(self)).encode())

    @classmethod
    def of(cls, directory: Path) -> SweepHalt | None:
        """Why the sweep in `directory` was stopped; None if it was not."""
        try:
            found = parsed(content_of(directory / STOPPED))
            many, first, kind, said = (found[f.name] for f in fields(cls))
            return cls(int(many), str(first), str(kind), [str(line) for line in said])
        except FileNotFoundError:
            return None
        except (OSError, KeyError, TypeError, ValueError) as error:
            why = f"an unknown error: the file '{STOPPED}' is damaged ({error})"
            return cls(1, "t0000", MISTAKE, [why])

    def message(self, directory: Path) -> str:
        """The message to the user: what happened, and the fix."""
        several = f"first {self.many} trials failed alike"
        failed = "first trial failed" if self.many == 1 else several
        said = "\n".join(f"    {line}" for line in self.said)
        return (
            f"the sweep was stopped, because its {failed}. {self.first} ended with\n\n"
            f"{said}\n\n"
            f"The whole log: {directory / self.first / 'log.txt'}\n"
            "Correct that and give the same command again: it starts the failed trials again.\n"
            "sweep.stop_after_alike=0 runs all trials, however many fail alike."
        )


def counted_ends(trials: Sequence[FrozenTrial]) -> str:
    """How trials ended, in words: "2 bug, 1 diverged"."""
    ends = Counter(t.user_attrs.get("failure") or t.user_attrs.get("status") for t in trials)
    return ", ".join(f"{many} {str(end).replace('_', ' ')}" for end, many in ends.items())


def is_stopped(directory: Path) -> bool:
    """Whether a sweep's trials failed alike, and it was not continued since."""
    return (directory / STOPPED).exists()


def oom_kills(proc: Path = Path("/proc/self"), top: Path = Path("/sys/fs/cgroup")) -> int:
    """Processes that the kernel has killed in our control group for want of memory; 0: not known.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst (memory.events) and
    cgroup-v1/memory.rst (memory.oom_control).
    """
    v1, v2 = top / "memory", top
    for line in (proc / "cgroup").read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        base, name = (v1, "memory.oom_control") if controllers else (v2, "memory.events")
        for folder in (base / group.lstrip("/"), base):  # a container may see its group as the top
            counter = folder / name
            if counter.is_file():
                words = dict(w.split(" ", 1) for w in counter.read_text().splitlines())
                if "oom_kill" in words:
                    return int(words["oom_kill"])
    return 0
