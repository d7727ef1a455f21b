"""A worker: takes a trial, trains it in a child, obeys the pruner, reports the result."""

import gc
import os
import signal
import socket
import time
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import FrameType

from optuna.exceptions import UpdateFinishedTrialError

from gansweep.config.environment import check_foreign
from gansweep.engine.attempt import Attempt
from gansweep.engine.child import BEGUN, OPTION, OnScore, Order, Scores, may_run, run_order
from gansweep.engine.failures import (
    CRASHES,
    EXIT_NO_SPACE,
    EXIT_SUPERSEDED,
    SweepHalt,
    end_of,
    is_stopped,
    oom_kills,
    signal_of,
)
from gansweep.engine.leaderboard import write_leaderboard
from gansweep.engine.lease.gpus import GpuShare, GpuTurns, holders_in_words
from gansweep.engine.lease.locks import Lease, remove_dead
from gansweep.engine.lease.workers import IDLE, STOPPING, WAITS_FOR_GPU, WorkerFile, is_cancelled
from gansweep.engine.reporting import Reporter, protocols_in
from gansweep.engine.server import ServerDiedError, TrialServer
from gansweep.engine.storage.disk import writing
from gansweep.engine.storage.retrying_storage import StorageOutageError, is_outage
from gansweep.engine.study import SweepStudy
from gansweep.errors import UserError, visible
from gansweep.records.find import why_without
from gansweep.records.record import RunRecord
from gansweep.search.population import PlannedRun, is_untouched
from gansweep.search.settings import Settings
from gansweep.signals import note_hangup, stop_signals

EXIT_FINISHED = 0
EXIT_FAILED_ALIKE = 3  # the first trials failed by one bug
EXIT_CANCELLED = 4  # by `gansweep cancel`
EXIT_STOPPED = 75  # "temporary failure" in sysexits.h: start it again and it continues
EXIT_UNKNOWN = 255  # what multiprocessing says of a child whose server was killed
IDLE_SECONDS = (0.1, 0.5)  # between looks for work, growing while there is none
NO_SPACE = "no space left on its disk"
ENDS = {  # exit code of a child -> how its trial ended, and why
    EXIT_NO_SPACE: ("interrupted", NO_SPACE),
    EXIT_SUPERSEDED: ("interrupted", "another process has taken its run over"),
    EXIT_UNKNOWN: ("killed", "with the server of the trials' processes"),
}
STOP_SECONDS = 120.0  # for a child to save its checkpoint after SIGTERM
OPEN_SECONDS = 60.0  # to wait for the storage of a sweep that has begun
SIGNAL_SECONDS = 1.0  # in which a signal to all processes of a job has reached each
LOOK_SECONDS = 1.0  # between looks whether the sweep was cancelled or stopped


class Worker:
    """One process's work on one sweep."""

    def __init__(self, directory: Path, name: str | None = None, threads: int = 1) -> None:
        self.name = name or f"{socket.gethostname()}-{os.getpid()}"
        self.threads = threads
        self.stops = 0  # how often we were asked to stop
        self._looked = 0.0
        self._open(directory)
        gc.freeze()  # the libraries stay; looking through them again takes half of our time
        settings = self.study.settings
        module = settings.target.rpartition(".")[0]
        preload = [*settings.preload, module, run_order.__module__]
        self._server = TrialServer(directory / "workers" / f"{self.name}.server.log", preload)
        share = GpuShare.of(settings.launcher)
        self._gpus = GpuTurns(share, directory, uses_gpus=settings.uses_gpus)
        self._waits = self._said_so = False  # for a GPU

    def run(self) -> int:
        """Work until nothing is left, or until asked to stop; one of the exit codes above."""
        for number in (*stop_signals(), signal.SIGUSR1):
            signal.signal(number, self._stop)
        self.file = WorkerFile(self.study.directory, self.name)
        self.name = self.file.name
        try:
            if SweepHalt.of(self.study.directory) is None and self.study.finished():
                name = self.study.settings.name
                print(f"the sweep {name} is finished: nothing to do", flush=True)
            else:
                if self._gpus.take():
                    self._server.start()  # it imports while we claim the first trial
                self._work()
            return self._exit_code()
        except StorageOutageError:  # asked to stop; others find an unfinished trial by its lease
            return EXIT_CANCELLED if is_cancelled(self.study.directory) else EXIT_STOPPED
        finally:
            self.file.leave()
            self._gpus.give_back()

    def _work(self) -> None:
        pause = IDLE_SECONDS[0]
        while not self._must_stop():
            self._waits = False
            attempt = self.study.claim(self.name, self._has_gpus)
            if attempt is not None:
                self._attempt(attempt)
                pause = IDLE_SECONDS[0]
            elif is_stopped(self.study.directory):
                return
            elif self.study.finished():
                if not self._has_grown():
                    return
            else:  # another worker may die and leave us its trial
                if pause == IDLE_SECONDS[1]:
                    self._gpus.give_back()  # others may have work for them
                self.file.note(WAITS_FOR_GPU if self._waits else IDLE)
                time.sleep(pause)
                pause = min(2 * pause, IDLE_SECONDS[1])

    def _has_grown(self) -> bool:
        """Whether the command was given again, with more to do: then that is to be done."""
        if self._changed == _changed(self.study.directory):
            return False
        self._open(self.study.directory)
        return not self.study.finished()

    def _open(self, directory: Path) -> None:
        self._changed = _changed(directory)
        self.study = _opened(directory)
        self.study.storage.retries.ends = lambda: self.stops > 0
        _refuse_foreign(directory, self.study.settings)

    def _has_gpus(self) -> bool:
        """Take the GPUs that a trial needs, if they are free; whether we have them."""
        self._waits = not self._gpus.take()
        if self._waits and not self._said_so:
            print(f"Waiting for a GPU: {holders_in_words(self._gpus.gpus)}", flush=True)
        self._said_so = self._waits
        return not self._waits

    def _exit_code(self) -> int:
        directory = self.study.directory
        if (stop := SweepHalt.of(directory)) is not None:
            print(f"{directory}: {stop.message(directory)}", flush=True)
            return EXIT_FAILED_ALIKE
        if self.stops or not self.study.finished():
            if not is_cancelled(directory):
                return EXIT_STOPPED
            command = visible(self.study.settings.to_continue(directory))
            print(f"{directory}: the sweep was cancelled. To continue it:\n  {command}", flush=True)
            return EXIT_CANCELLED
        for lease in (directory / "leases").glob("[!.]*"):
            remove_dead(lease)  # of workers that were killed before they released it
        write_leaderboard(self.study)
        return EXIT_FINISHED

    def _must_stop(self) -> bool:
        """Whether a signal asks us to stop, or, from any machine, `gansweep cancel` or a bug."""
        if not self.stops and time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            directory = self.study.directory
            if is_cancelled(directory) or is_stopped(directory):
                self.stops = max(1, self.stops)  # a signal may have come meanwhile
        return self.stops > 0

    def _stop(self, number: int, frame: FrameType | None) -> None:
        note_hangup(number)
        # only a second Ctrl-C hurries; SLURM sends SIGTERM to all processes of a job, and the job's
        # script sends it again
        self.stops = self.stops + 1 if number == signal.SIGINT else max(1, self.stops)

    def _attempt(self, attempt: Attempt) -> None:
        ended, reason = "interrupted", ""
        self.file.note(attempt.key)
        try:
            self.study.suggest(attempt)
            unpromising = self.study.report_record(attempt)
            if self.study.has_ended(attempt):
                ended = "itself"
            elif unpromising:
                ended, reason = "pruned", "the pruner judged it unpromising"
            else:
                ended, reason = self._train_all(attempt)
        except UpdateFinishedTrialError:
            pass  # another host took us for dead and took over the trial
        except ServerDiedError as error:
            self.study.finish(attempt, "interrupted", "its process could not be started")
            raise error from None
        status = self.study.finish(attempt, ended, reason)
        self.file.note(IDLE)
        _tell(f"{attempt.key} {status} {reason}")
        if reason == NO_SPACE:
            raise UserError(
                f"No space is left on the disk of {self.study.directory}. Free some, then give the "
                "same command again: the sweep continues."
            )

    def _train_all(self, attempt: Attempt) -> tuple[str, str]:
        """Train the runs of an attempt that have not ended yet; how it ended, and why."""
        for run in attempt.runs:
            if not self.study.is_done(run):
                ended, reason = self._train(attempt, run)
                if ended != "itself" or not self.study.is_done(run):
                    return ended, reason
            if self.study.report_seed(attempt, run) and run is not attempt.runs[-1]:
                return "pruned", f"no better than the best trial over {run.name}"
        return "itself", ""

    def _train(self, attempt: Attempt, run: PlannedRun) -> tuple[str, str]:
        """Train a run in a child; how it ended, and why. No child is left in any case."""
        ours, theirs = self._server.context.Pipe()
        order, killed_before = self._order(attempt, run), oom_kills()
        child = self._server.fork(run_order, order, theirs)
        theirs.close()
        reporter = Reporter(lambda kimg, value: self.study.report(attempt, kimg, value))
        verdict = partial(self._wants_it_stopped, reporter, attempt, run)
        try:
            _tell(f"{run.name} started")
            begun = self._accompany(child, ours, attempt.lease, verdict)
        except BaseException:
            child.kill()
            raise
        finally:
            child.join()
            ours.close()
        reporter.join()
        exit_code, out_of_memory = child.exitcode or 0, oom_kills() > killed_before
        if begun:
            self._server.lived()
        elif exit_code < 0 or exit_code == EXIT_UNKNOWN:
            if not self.stops:
                self._server.died(exit_code if exit_code < 0 else None)
            return "interrupted", "its process ended before the trial began"
        return self._how_it_ended(exit_code, Path(order.run_dir), out_of_memory)

    def _order(self, attempt: Attempt, run: PlannedRun) -> Order:
        settings = self.study.settings
        overrides, held = [*settings.overrides, *run.overrides], self._gpus.held
        gpus = 1 if held is None else len(held.names)
        if not any(word.lstrip("+").startswith("trainer.threads=") for word in overrides):
            # recorded: their number changes the last digits
            overrides.append(f"trainer.threads={max(1, self.threads // gpus)}")
        sweep = attempt.sweep_entry(settings, run, self.study.directory)
        if held is not None:
            held.touch()
            sweep["gpus"] = held.names
        devices = [f"trainer.devices={gpus}"] if gpus > 1 else []
        record = RunRecord(self.study.run_dir(run.name))
        return Order(
            target=settings.target,
            overrides=[*overrides, *devices, f"group={settings.name}", f"name={run.name}"],
            config_dir=settings.config_dir,
            run_dir=str(record.directory),
            until_kimg=run.until_kimg,
            source=run.source if is_untouched(record) else None,
            lease=str(attempt.lease.path),
            sweep=sweep,
            gpus=held,
        )

    def _accompany(
        self, child: ForkServerProcess, ours: Connection, lease: Lease, verdict: OnScore
    ) -> bool:
        """Answer the child's scores until it ends; pass a request to stop on to it. Whether it
        began the trial.

        verdict: whether a score's run is to stop.
        Raises: UpdateFinishedTrialError if another host has taken over the trial.
        """
        deadline, begun = None, False
        waiting_for: list[Connection | int] = [ours, child.sentinel]
        while True:
            ready = wait(waiting_for, timeout=0.2)
            if ours in ready:
                try:
                    said = ours.recv()
                    if said == BEGUN:
                        begun = True
                    else:
                        ours.send(verdict(*said))
                except (EOFError, ConnectionResetError, BrokenPipeError):
                    waiting_for.remove(ours)
            elif child.sentinel in ready:
                return begun
            if lease.is_lost:  # another process may write into the record
                raise UpdateFinishedTrialError(f"{lease.path} was removed")
            if self._must_stop() and deadline is None:
                self.file.note(STOPPING)
                child.terminate()
                deadline = time.monotonic() + STOP_SECONDS
            if self.stops > 1 or (deadline is not None and time.monotonic() > deadline):
                child.kill()

    def _wants_it_stopped(
        self, reporter: Reporter, attempt: Attempt, run: PlannedRun, kimg: float, scores: Scores
    ) -> bool:
        if run is not attempt.runs[0]:
            return False  # only the curves of the first seed are compared
        if attempt.score is None:
            record = RunRecord(self.study.run_dir(run.name))
            judged_by = (record.result() or {}).get("objective")
            protocols = protocols_in(record.history())
            attempt.score = self.study.objective.find(scores, protocols, judged_by)
        return attempt.score in scores and reporter.ask(kimg, scores[attempt.score])

    def _is_asked_too(self) -> bool:
        """Whether we are asked to stop, as our child was: a signal to all processes of a job can
        reach us last."""
        deadline = time.monotonic() + SIGNAL_SECONDS
        while not self.stops and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.stops > 0

    def _how_it_ended(self, exit_code: int, run_dir: Path, out_of_memory: bool) -> tuple[str, str]:
        if self.stops:
            return "interrupted", ""
        if exit_code in ENDS:
            return ENDS[exit_code]
        if exit_code < 0:
            by = signal_of(exit_code)
            if by == "SIGTERM" and self._is_asked_too():
                return "interrupted", ""
            if by == "SIGKILL" and out_of_memory:
                return "out_of_memory", "for want of host memory, by the kernel"
            return "crashed" if by in CRASHES else "killed", f"by {by}"
        if (RunRecord(run_dir).result() or {}).get("status") == "interrupted":
            if self._is_asked_too():
                return "interrupted", ""
            return "killed", "interrupted by a signal"
        if exit_code == 0:
            return "itself", ""
        said = "".join(end_of(run_dir / "log.txt", 1)).strip()
        return "itself", said or f"ended with {exit_code} before it began: see workers/*.server.log"


def _tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}".rstrip(), flush=True)


def _changed(directory: Path) -> int:
    """When the sweep's settings were written last."""
    return (directory / "sweep.yaml").stat().st_mtime_ns


def _opened(directory: Path) -> SweepStudy:
    """The sweep; waits for a storage that cannot be reached, which may only be restarting."""
    deadline = time.monotonic() + OPEN_SECONDS
    while True:
        try:
            return SweepStudy(directory)
        except UserError as error:
            if not is_outage(error.__cause__) or time.monotonic() > deadline:
                raise
        time.sleep(LOOK_SECONDS)


def _refuse_foreign(directory: Path, settings: Settings) -> None:
    """Raises: UserError if the sweep's directory names code or reads environment variables that
    the user has not allowed."""
    for option, path in [("target", settings.target), *(("preload", p) for p in settings.preload)]:
        if not may_run(path):
            raise UserError(
                f"{directory / 'sweep.yaml'} names {option}={path}, which is not gansweep's own. A "
                "sweep's directory is data and runs no other code. If you trust it, allow that "
                f"with 'extra_packages=[{path.partition('.')[0]}]'."
            )
    # before a trial fails by it
    check_foreign([settings.overrides, [p["overrides"] for p in settings.points]], OPTION)


def run_worker(directory: str | Path, name: str | None = None, threads: int | None = None) -> int:
    """Work on a sweep that `gansweep sweep` has made; the exit code of the process.

    threads: for each trial; by default OMP_NUM_THREADS, or one per core of this process.
    Raises: UserError if the directory has no sweep, or cannot be written.
    """
    if not (Path(directory) / "sweep.yaml").exists():
        lacks = why_without(Path(directory), "sweep.yaml")
        raise UserError(
            f"{directory} holds no sweep on {socket.gethostname()}: {lacks}. "
            "Give the directory that `gansweep sweep` names when it starts, on a file system that "
            "this host shares with the others."
        )
    if threads is None:
        given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]  # "4,2": of nested loops
        threads = int(given) if given.isdigit() else len(os.sched_getaffinity(0))
    with writing(Path(directory), ", then give the same command again: the sweep continues."):
        return Worker(Path(directory), name, threads).run()
