"""Workers as one job array of SLURM. Each job runs one worker, which takes trial after trial and
outlives this process. The same command finds the jobs again."""

import contextlib
import re
import shlex
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from gansweep.config.ranges import Name, Range, Workers
from gansweep.engine.failures import SweepHalt
from gansweep.engine.launch import Detached
from gansweep.engine.launch.slurm_queue import (
    Job,
    NoAnswerError,
    ask_slurm,
    cancel,
    comment_of,
    nodes_of,
    partitions,
    queue,
    remember,
    require,
)
from gansweep.engine.leaderboard import write_leaderboard
from gansweep.engine.lease.locks import KernelLock
from gansweep.engine.lease.workers import is_cancelled
from gansweep.engine.study import SweepStudy
from gansweep.errors import UserError
from gansweep.records.notation import plural
from gansweep.search.settings import Settings

__all__ = ["Job", "SlurmLauncher", "cancel", "queue", "worker_count"]

SCRIPT = Path(__file__).with_name("slurm_worker.sh")
MOST_BY_DEFAULT = 8
TICK_SECONDS = 0.5
CANNOT_WORK = (2, 126, 127)  # exit codes of workers that another start does not fix
ENDING_SECONDS = 40.0  # SLURM gives a job 30 to save (KillWait), by default
LAST_LINES = 5  # of a log that are shown
# The reasons that squeue gives for jobs that will never start.
HOPELESS = (
    *("AccountNotAllowed", "BadConstraints", "InvalidAccount", "InvalidQOS", "JobHeldAdmin"),
    *("PartitionNodeLimit", "PartitionTimeLimit", "launch failed requeued held"),
)
FIXES = {  # words of SLURM -> the fix
    "violates accounting|submit limit": (
        "Submit fewer jobs with workers=, or ask for less (launcher.time=, gpus=, memory=)."
    ),
    "unrecognized|node name|qos": "Correct the words of launcher.options= (`sbatch --help`).",
    "array": "Submit fewer jobs with workers=.",
    "time limit|TimeLimit": "Ask for less with launcher.time=.",
    "partition": "Choose one with launcher.partition=.",
    "account": "Name one that you may use with launcher.account= (`sacctmgr show user -s`).",
    r"feature|constraint|configuration|mem\b|memory|cpu|gres": (
        "Ask for what a node has: launcher.constraint=, gpus=, cpus=, memory=."
    ),
    "requeued held": (
        "Give the same command again; `scontrol show node` may say why they failed to start."
    ),
}


def worker_count(options: Mapping[str, Any], wanted: str | int, n_trials: int) -> int:
    """How many jobs `workers=` asks for; auto: one per trial, but no more than MOST_BY_DEFAULT.

    Raises: UserError if the times do not go together, or if there is no SLURM.
    """
    require("sbatch")
    _check_times(options["time"], options["warn_seconds"])
    return min(n_trials, MOST_BY_DEFAULT) if wanted == "auto" else int(wanted)


class SlurmOptions(TypedDict):
    """conf/launcher/slurm.yaml."""

    name: Literal["slurm"]
    workers: Workers
    max_running: Annotated[int, Range(1, 4_096)] | None
    partition: Name | None
    account: Name | None
    constraint: Name | None
    time: Name | None
    warn_seconds: Annotated[int, Range(1, 86_400, such_as=120)]
    gpus: Name | None
    cpus: Annotated[int, Range(1, 4_096)] | None
    memory: Name | None
    setup: list[str]
    options: list[str]
    wait: bool
    every_seconds: Annotated[float, Range(0, 86_400, above=True, such_as=10)]


class SlurmLauncher:
    """Submits workers, and watches them until the sweep is finished or the user leaves."""

    def __init__(self, directory: Path, options: Mapping[str, Any], workers: int) -> None:
        self.given = directory
        self.directory = directory.resolve()
        self.options = options
        self.workers = workers
        self.max_running = min(workers, options["max_running"] or workers)
        self.every_seconds = float(options["every_seconds"])
        (self.directory / "workers").mkdir(exist_ok=True)
        self._arrays: set[str] = set()  # of our workers
        self._printed = ""
        self._again = False

    def run(self, tick: Callable[[], None]) -> bool:
        """Submit the missing workers and wait until the sweep is finished (True) or cancelled
        (False). Calls `tick` meanwhile.

        Raises: Detached if the user leaves the jobs to themselves (Ctrl-C, or wait=false);
            UserError, with the reason, if SLURM refuses them or they cannot work.
        """
        study = SweepStudy(self.directory)
        if not study.finished():
            self.submit_missing()
            if not self.options["wait"]:
                raise Detached(self._how_to_return("submitted"))
        try:
            return self._watch(study, tick)
        except KeyboardInterrupt:
            raise Detached(self._how_to_return("left to themselves")) from None

    def submit_missing(self) -> int:
        """Submit the workers that neither run nor wait yet; how many.

        Raises: UserError if SLURM refuses them.
        """
        with KernelLock(self.directory / "workers" / "slurm.lock"):  # of two shells at once
            jobs = self._known_jobs()
            self._arrays = {job.array for job in jobs}
            missing = self.workers - len(jobs)
            room = self.max_running - len(jobs)
            if missing <= 0 or room <= 0:
                found = plural(len(jobs), "worker")
                print(f"in SLURM already: {found} (job {_listed(self._arrays)})")
                return 0
            self._submit(missing, room)
            return missing

    def _known_jobs(self) -> list[Job]:
        """The jobs that run or wait. It waits for jobs that are ending: these may go back into the
        queue."""
        deadline = time.monotonic() + ENDING_SECONDS
        while True:
            jobs = queue(self.directory)
            lasting = [job for job in jobs if job.state != "COMPLETING"]
            if len(lasting) == len(jobs) or time.monotonic() > deadline:
                return lasting
            time.sleep(TICK_SECONDS)

    def _submit(self, many: int, at_once: int) -> None:
        command = self._command(many, at_once)
        try:
            array = ask_slurm(command).strip().partition(";")[0]
        except NoAnswerError:
            raise
        except UserError as error:
            raise _refused(str(error)) from None
        remember(self.directory, array, command)
        self._arrays.add(array)
        print(f"submitted to SLURM: {plural(many, 'worker')} (job {array})")

    def _command(self, many: int, at_once: int) -> list[str]:
        """The sbatch command, word by word."""
        options = self.options
        logs = str(self.directory / "workers").replace("%", "%%")
        asked = {
            "partition": options["partition"],
            "account": options["account"],
            "constraint": options["constraint"],
            "time": options["time"],
            "cpus-per-task": options["cpus"],
            "mem": options["memory"],
            "gres": f"gpu:{options['gpus']}" if options["gpus"] else None,
        }
        return [
            "sbatch",
            "--parsable",
            f"--job-name=gansweep-{self.directory.name}",
            f"--comment={comment_of(self.directory)}",
            f"--array=0-{many - 1}%{at_once}",
            "--ntasks=1",
            "--requeue",
            f"--signal=B:USR1@{options['warn_seconds']}",
            "--open-mode=append",
            f"--output={logs}/slurm-%A_%a.log",
            *(f"--{name}={value}" for name, value in asked.items() if value is not None),
            *(str(word) for word in options["options"]),
            str(SCRIPT),
            sys.executable,
            str(self.directory),
            str(Settings.load(self.directory).max_retries),
            *options["setup"],
        ]

    def _watch(self, study: SweepStudy, tick: Callable[[], None]) -> bool:
        """Until the sweep is finished (True) or cancelled (False)."""
        next_look = time.monotonic()
        while True:
            if time.monotonic() >= next_look:
                jobs = self._jobs()  # before `finished`: a worker reports its last trial, then ends
                if study.finished():
                    break
                if jobs is not None and all(job.waits for job in jobs):
                    if is_cancelled(self.directory):
                        if jobs:  # SLURM did not answer at the cancel
                            cancel(self.directory)
                        return False
                    self._refuse_stuck(jobs)
                    self._report_waiting(jobs)
                next_look = time.monotonic() + self.every_seconds
            tick()
            time.sleep(TICK_SECONDS)
        self._cancel_waiting()
        if (stop := SweepHalt.of(self.directory)) is not None:  # and no trial was left
            raise UserError(stop.message(self.given))
        write_leaderboard(study)  # a worker that saw the end may still write it
        tick()
        return True

    def _jobs(self) -> list[Job] | None:
        """The jobs that run or wait; None if SLURM does not answer, which stops no worker."""
        try:
            return queue(self.directory)
        except UserError:
            return None

    def _refuse_stuck(self, jobs: list[Job]) -> None:
        """Cancel the waiting jobs if none of them can work.   jobs: none of which runs.

        Raises: UserError in that case.
        """
        codes = self._exit_codes(jobs)
        stop = SweepHalt.of(self.directory)
        if stop is not None:
            message = stop.message(self.given)
        elif not jobs and codes == {0} and not self._again:
            self._again = True  # they ended just before this command gave them more to do
            self.submit_missing()
            return
        elif not jobs or (codes and codes <= set(CANNOT_WORK)):
            message = self._obituary(codes)
        elif all(any(word in job.reason for word in HOPELESS) for job in jobs):
            message = f"SLURM cannot start the workers ({jobs[0].reason}). {_fix(jobs[0].reason)}"
        else:
            return
        if jobs:
            cancel(self.directory)
        raise UserError(message)

    def _report_waiting(self, jobs: list[Job]) -> None:
        reasons = {job.reason for job in jobs if job.reason}
        line = f"waiting in SLURM: {plural(len(jobs), 'worker')} ({_listed(reasons)})"
        if reasons and line != self._printed:
            print(line)
            self._printed = line

    def _exit_codes(self, jobs: list[Job]) -> set[int]:
        """Of the workers that have ended."""
        alive = {f"slurm-{job.id}" for job in jobs}
        texts = [p.read_text().strip() for p in self._written("exit") if p.stem not in alive]
        return {int(text) for text in texts if text}

    def _written(self, kind: str) -> list[Path]:
        """The files slurm-JOB.KIND of our arrays; no log of the server of a worker's trials."""
        found = (self.directory / "workers").glob(f"slurm-*.{kind}")
        jobs = [(path, path.stem.removeprefix("slurm-")) for path in found]
        return [p for p, job in jobs if "." not in job and job.split("_")[0] in self._arrays]

    def _obituary(self, codes: Collection[int]) -> str:
        """The error if all workers are gone before the sweep is finished."""
        logs = self._written("log")
        if not logs:
            hosts = ", ".join(nodes_of(self._arrays)) or "the nodes"
            return (
                f"The workers in SLURM are gone and left no log in {self.directory / 'workers'}: "
                f"{hosts} may have no such directory, or another one, or may not write there. It "
                "must be on a file system that all nodes share: choose its place with runs_dir=."
            )
        newest = max(logs, key=lambda path: path.stat().st_mtime)
        last = newest.read_text(errors="replace").strip().splitlines()[-LAST_LINES:]
        how = f" (exit code {', '.join(map(str, sorted(codes)))})" if codes else ""
        return (
            f"The workers in SLURM are gone{how}, and the sweep is not finished. {newest} ends:\n  "
            + "\n  ".join(last)
            + "\nCorrect that; the same command then submits new workers and continues."
        )

    def _cancel_waiting(self) -> None:
        """Cancel the waiting jobs of a finished sweep; running ones end by themselves."""
        waiting = [job.id for job in self._jobs() or [] if job.waits]
        if waiting:
            with contextlib.suppress(NoAnswerError):  # they would find nothing to do
                ask_slurm(["scancel", *waiting])

    def _how_to_return(self, jobs: str) -> str:
        place = shlex.quote(str(self.given))
        return (
            f"The workers are {jobs}; they need neither this process nor this terminal.\n"
            f"  gansweep status {place}   shows their state\n"
            f"  gansweep cancel {place}   stops them\n"
            "The same command shows the table again, and submits no worker twice."
        )


def _listed(words: Collection[str]) -> str:
    return ", ".join(sorted(words))


def seconds_of(limit: Any) -> int | None:
    """A time limit as SLURM writes it, in seconds; None if it is not one.

    limit: MINUTES, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS.   Source: sbatch(1), --time.
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", str(limit))
    if found is None:
        return None
    days, first, second, third = (int(part or 0) for part in found.groups())
    begins_with_minutes = found[1] is None and found[4] is None
    unit = 60 if begins_with_minutes else 3600
    return days * 86400 + first * unit + second * unit // 60 + third


def _check_times(limit: Any, warn_seconds: int) -> None:
    if limit is None or str(limit).lower() in ("infinite", "unlimited"):
        return
    seconds = seconds_of(limit)
    if not seconds:
        raise UserError(
            f"launcher.time={limit} is no time limit. Use minutes (90), HH:MM:SS (04:00:00) or "
            "D-HH:MM:SS (2-00:00:00)."
        )
    if warn_seconds >= seconds:
        raise UserError(
            f"launcher.warn_seconds={warn_seconds} leaves no time to train before the limit of "
            f"launcher.time={limit}. Use a longer time, or a warning well below it."
        )


def _refused(said: str) -> UserError:
    """sbatch's refusal in its own words, with the fix and the cluster's partitions."""
    words = " ".join(said.replace("sbatch: error:", "").split())
    return UserError(" ".join(filter(None, [f"SLURM refuses the workers: {words}.", _fix(said)])))


def _fix(said: str) -> str:
    fitting = (fix for words, fix in FIXES.items() if re.search(words, said, re.IGNORECASE))
    return " ".join(filter(None, [next(fitting, ""), partitions()]))
